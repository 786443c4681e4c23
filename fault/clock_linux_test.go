package fault

import (
	"strconv"
	"strings"
	"testing"
)

// date is a stand-in for date(1) that no real clock is set by: it shows what it was
// set to, and says so.
const date = `cat >/run/bin/date <<'END'
#!/bin/sh
now() { cut -d. -f1 /proc/uptime; }
off=$(cat /run/offset 2>/dev/null || echo 1000000)
case $1 in
-s) echo $((${2#@} - $(now))) >/run/offset ;;
*) echo $((off + $(now))) ;;
esac
END
chmod +x /run/bin/date
`

// A clock fault whose apply died before it took note of the time keeps no other fault
// from its end.
func TestNodeClockWithoutItsTime(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(date)
	b.sh("mkdir -p /run/dcalab-faults && echo '1 clock:60' >/run/dcalab-faults/f1.fault")
	b.apply("f2", 1, "net", dropping("f2", 11))
	if r := b.script("", "list"); r.status != 0 {
		t.Errorf("list ended with %+v", r)
	}
	b.gone("at its end")
}

// A clock is set wrong by one fault at a time, and afterwards shows what it would have.
func TestNodeClock(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.sh(date)
	b.apply("f1", 0, "clock:600", "")
	if got := b.list(); len(got) != 1 || !got["f1"].Applied {
		t.Errorf("there are %+v", got)
	}
	if r := b.script("", "apply", "f2", "0", "clock:1200", nodeText); r.status == 0 || !strings.Contains(r.err, "by another fault already") {
		t.Errorf("a second one ended with %+v", r)
	}
	b.must("", "heal", "f1")
	// It is read, and then set: on a busy machine there are seconds between.
	if got, err := strconv.Atoi(b.sh("cat /run/offset")); err != nil || got < 1000000-60 || got > 1000000+60 {
		t.Errorf("healed, the clock is wrong: %d, %v", got, err)
	}
	b.gone("healed")
}
