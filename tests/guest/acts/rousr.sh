# Act 2: the same upgrade with rousr.
. /run/share/common.sh

holds() { find /usr/.rousr -mindepth 1 2>/dev/null | wc -l; }

# The units that still hold replaced files.
holding_units() {
    rousr status --json | sed -n 's/^ *"unit": "\(.*\)".*/\1/p' | sort -u
}

holds_nothing() { ! holding_units | grep -qxF "$1"; }

# within SECONDS COMMAND...: tries until it succeeds.
within() {
    until=$(($(date +%s%3N) + $1 * 1000))
    shift
    while ! "$@"; do
        [ "$(date +%s%3N)" -lt "$until" ] || return 1
        sleep 0.05
    done
}

empty_and_sealed() { [ "$(holds)" = 0 ] && levels_are "ro ro" >/dev/null; }

# Turns the agent's lines about reaps, as of the seen-th, into events at the time they were logged.
seen=0
reaps() {
    # The agent logs a reap when /usr is sealed again; the file is gone before that.
    sleep 0.3
    journalctl --unit=rousr.service --output=short-unix --no-pager | grep ' reaped ' >/run/reaps
    tail -n "+$((seen + 1))" /run/reaps | awk -v began="$began" '
        match($0, /path="[^"]*"/) {
            path = substr($0, RSTART + 6, RLENGTH - 7)
            sub(/.*\//, "", path)
            latency = ""
            if (match($0, /latency_us=[0-9]+/))
                latency = sprintf(", %.1f ms after its last close",
                    substr($0, RSTART + 11, RLENGTH - 11) / 1000)
            printf "demo:event %d reaped %s%s\n", $1 * 1000 - began, path, latency
        }'
    seen=$(wc -l </run/reaps)
}

# Makes a unit let go.
release() {
    case $1 in
        init.scope) set -- "$1" systemctl daemon-reexec ;;
        *) set -- "$1" systemctl restart "$1" ;;
    esac
    unit=$1
    shift
    event "$*"
    "$@"
    claim "$*: holds nothing any more" within 5 holds_nothing "$unit"
    reaps
}

note "looking for the agent"
claim "rousr's agent runs" systemctl --quiet is-active rousr.service
start_holders
upgrade
status=$?

claim "apt-get exits 0" [ "$status" = 0 ]
claim "/usr is sealed: mount and superblock read-only" levels_are "ro ro"
event "sealed"
orphans >/run/orphans
show </run/orphans
claim "no orphan" [ ! -s /run/orphans ]
claim "what was replaced and is in use is held" [ "$(holds)" -gt 0 ]
note "rousr status"
rousr status | show

note "letting go, one by one"
systemctl daemon-reload
for unit in demo-openssl demo-python rousr-demo rousr-demo-script; do
    release "$unit.service"
done
release init.scope
for unit in $(holding_units); do
    release "$unit"
done
claim "nothing is left within a second of the last release, and /usr is sealed" \
    within 1 empty_and_sealed
event "$(holds) holds left; mount and superblock $(levels)"

note "apt-get remove rousr-demo while its daemon runs"
event "apt-get remove rousr-demo"
apt-get -q remove rousr-demo >"$log" 2>&1
status=$?
cat "$log"
event "apt-get exits $status"
claim "the removal exits 0" [ "$status" = 0 ]
claim "/usr is sealed after it" levels_are "ro ro"
rousr status
claim "the removed daemon still runs" systemctl --quiet is-active rousr-demo.service
event "systemctl stop rousr-demo rousr-demo-script"
systemctl stop rousr-demo.service rousr-demo-script.service
claim "its files are gone within a second, and /usr is sealed" within 1 empty_and_sealed
reaps
journalctl --unit=rousr.service --output=cat --no-pager
