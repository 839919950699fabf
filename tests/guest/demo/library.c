/* librousr-demo.so.1: the part of the demo package that an upgrade leaves mapped. */

const char *rousr_demo_version(void)
{
	return "library version " VERSION;
}
