# The shell reads a script while it runs it: this file stays open for as long as the shell waits.
echo "script version @VERSION@"
sleep infinity
# Read only once the wait is over, from the file that was opened at the start.
echo "script version @VERSION@ ends"
