# Act 1: the hooks that every guide to a read-only /usr recommends.
. /run/share/common.sh

cat >/etc/apt/apt.conf.d/99remount <<'SNIPPET'
DPkg {
    Pre-Invoke { "mount -o remount,rw /usr"; };
    Post-Invoke { "mount -o remount,ro /usr"; };
};
SNIPPET
start_holders
upgrade
status=$?

claim "apt-get exits 100" [ "$status" = 100 ]
grep 'mount point is busy' "$log" | head -n 1 | show
claim "the remount is refused: mount point is busy" grep -q 'mount point is busy' "$log"
claim "/usr stays writable, mount and superblock" levels_are "rw rw"
claim "and a file can be written to it" touch /usr/written
note "asking who is to blame"
orphans >/run/orphans
show </run/orphans
claim "orphans keep it so, and systemd itself has one" grep -q 'systemd (1)' /run/orphans
