/*
 * Holds what its package installs in the ways that keep an unlinked inode in use: it runs an
 * executable, maps a library, and maps a data file whose descriptor it has closed.
 *
 * It says which versions it sees at its start and at each SIGUSR1. It never restarts by itself.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *rousr_demo_version(void);

static const char *map_table(const char *path)
{
	struct stat st;
	const char *table;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		err(1, "%s", path);
	table = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		err(1, "mmap %s", path);
	close(fd);
	return table;
}

static void wake(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	const char *table = map_table(argc > 1 ? argv[1] : "/usr/share/rousr-demo/table.dat");
	struct sigaction on_wake = { .sa_handler = wake };

	sigaction(SIGUSR1, &on_wake, NULL);
	for (;;) {
		printf("daemon version " VERSION ", %s, %.*s\n", rousr_demo_version(),
		       (int)strcspn(table, "\n"), table);
		fflush(stdout);
		pause();
	}
}
