# What both acts of `cargo xtask demo` share. Lines that begin with `demo:` tell the story to the
# host; everything else is the log, shown where a claim fails.

began=$(date +%s%3N)
log=/run/out/log

note() { echo "demo:note $*"; }

# What happened, with the milliseconds since the act began.
event() { echo "demo:event $(($(date +%s%3N) - began)) $*"; }

# claim TEXT COMMAND...: TEXT holds where COMMAND succeeds.
claim() {
    text=$1
    shift
    if "$@"; then
        echo "demo:claim ok $text"
    else
        echo "demo:claim failed $text"
    fi
}

# Passes lines on as part of the story.
show() { sed 's/^/demo:text /'; }

# Both read-only levels of /usr, the mount's and the superblock's: `ro ro`, `ro rw` or `rw rw`.
levels() {
    awk '$5 == "/usr" { split($6, mount, ","); split($NF, super, ","); print mount[1], super[1] }' \
        /proc/self/mountinfo
}

levels_are() {
    [ "$(levels)" = "$1" ] && return
    echo "mount and superblock of /usr: $(levels)"
    return 1
}

# Files of /usr that have no link but are open or mapped: each with the processes that use it.
# "(deleted)" in maps would prove nothing; the link count does.
orphans() {
    stat -L -c '%d %h %i %n' /proc/[0-9]*/map_files/* /proc/[0-9]*/fd/* 2>/dev/null |
        awk -v device="$(stat -c %d /usr)" '
            $1 == device && $2 == 0 { split($4, at, "/"); if (!seen[at[3], $3]++) print at[3], $4 }' |
        while read -r pid path; do
            echo "$(readlink "$path")|$(cat "/proc/$pid/comm") ($pid)"
        done |
        awk -F'|' '
            { sub(/ \(deleted\)$/, "", $1); users[$1] = users[$1] (users[$1] ? ", " : "") $2 }
            END { for (path in users) print path ": " users[path] }' |
        sort
}

# The demo package in its old version, and everybody who will hold what the upgrade replaces.
start_holders() {
    note "installing rousr-demo 1.0 and starting the holders"
    apt-get -qq install /run/share/rousr-demo_1.0_*.deb
    claim "with nothing held, an install ends with /usr read-only" levels_are "ro ro"

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
        -keyout /run/key.pem -out /run/certificate.pem 2>/dev/null
    systemd-run --quiet --unit=demo-openssl \
        openssl s_server -accept 4433 -cert /run/certificate.pem -key /run/key.pem
    systemd-run --quiet --unit=demo-python \
        python3 -c 'import ssl, time; time.sleep(1 << 30)'
    systemctl start rousr-demo.service rousr-demo-script.service
    # Until all of them have opened what they hold.
    for unit in demo-openssl demo-python; do
        pid=$(systemctl show --property=MainPID --value "$unit")
        for _ in $(seq 100); do
            grep -q libssl "/proc/$pid/maps" && break
            sleep 0.1
        done
    done
    claim "openssl s_server, python3, the demo daemon and its script run" \
        systemctl --quiet is-active demo-openssl demo-python rousr-demo rousr-demo-script
}

# The upgrade; its status is apt's.
upgrade() {
    note "upgrading libssl3t64, openssl and rousr-demo"
    event "apt-get install libssl3t64 openssl rousr-demo"
    apt-get -q install libssl3t64 openssl openssl-provider-legacy \
        /run/share/rousr-demo_2.0_*.deb >"$log" 2>&1
    status=$?
    event "apt-get exits $status"
    cat "$log"
    return "$status"
}
