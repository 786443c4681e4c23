package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/lab"
	labsession "github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

// A variable of a switch says what it says, or nothing is done.
func TestVariablesOfSwitches(t *testing.T) {
	for value, want := range map[string]int{
		"1": 0, "true": 0, "yes": 0, "YES": 0, "on": 0, "On": 0, "tRuE": 0,
		"0": trouble.ExitOK, "no": trouble.ExitOK, "off": trouble.ExitOK, "": trouble.ExitOK,
		"maybe": trouble.ExitUsage, "2": trouble.ExitUsage, "-": trouble.ExitUsage,
	} {
		t.Run(value, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			t.Setenv("DCALAB_DRY_RUN", value)
			status, out, story := run(t, "init")
			_, err := os.Stat(lab.FileName)
			written := err == nil
			off := value == "" || value == "0" || value == "no" || value == "off"
			switch {
			case status != want, written != off:
				t.Errorf("exit status %d, want %d; labs.yaml written: %v\n%s%s", status, want, written, out, story)
			case want == 0 && !off && !strings.Contains(out, "write labs.yaml"):
				t.Errorf("no plan: %s%s", out, story)
			case want != 0 && !strings.Contains(story, "unset DCALAB_DRY_RUN"):
				t.Errorf("no advice: %s", story)
			}
		})
	}
}

// The flag beats the variable.
func TestAFlagBeatsItsVariable(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("DCALAB_DRY_RUN", "yes")
	if status, _, story := run(t, "init", "--dry-run=false"); status != 0 {
		t.Fatal(story)
	}
	if _, err := os.Stat(lab.FileName); err != nil {
		t.Error(err)
	}
}

// What only reads is not kept from it by a variable.
func TestVariablesPassWhatTheyMeanNothingTo(t *testing.T) {
	for _, name := range []string{"DCALAB_DRY_RUN", "DCALAB_EXPLAIN"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "1")
			if status, out, story := run(t, "version"); status != 0 || out == "" {
				t.Errorf("exit status %d: %s", status, story)
			}
		})
	}
}

// What is said of a line that could be right, or nearly.
func TestWhatWasMeant(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for line, c := range map[string]struct{ has, lacks string }{
		"label rm 4kx7 node01":                {"it has not been created here", "comes first"},
		"label set 4kx7 node01":               {`"node01" is not KEY=VALUE`, "comes first"},
		"label set zone=east node01":          {"did you mean: dcalab label set node01 zone=east", ""},
		"context create node01":               {"dcalab context create node01 --node node01", ""},
		"context create node01 --node node01": {"it has not been created here", "is a node"},
		"exec --all docker ps -a":             {"own words after --: dcalab exec --all -- docker ps -a", "without a name"},
		"exec --all id -nG":                   {"own words after --: dcalab exec --all -- id -nG", "no-color"},
		"exec --managers docker node ls":      {"did you mean: dcalab exec --managers -- docker node ls", ""},
		"exec node01 node02 ls -la":           {"own words after --: dcalab exec node01 node02 -- ls -la", ""},
		"exec --workers docker ps --format x": {"own words after --: dcalab exec --workers -- docker ps --format x", "--output"},
		"exec docker ps -a":                   {"own words after --: dcalab exec --all -- docker ps -a", ""},
		"exec node01 --no-color ls -l":        {"own words after --: dcalab exec node01 --no-color -- ls -l", ""},
		"exec --al docker ps":                 {"did you mean --all?", "own words"},
		"exec nod01 ls -l":                    {"has no flag -l", "own words"},
		"exec all -- uptime":                  {"it has not been created here", ""},
		"--lab dca ssh master ls -la /tmp":    {"it has not been created here", "no flag"},
		"ssh -l root master":                  {"always as the node's ordinary user", "own words"},
		"vagrant --machine-readable status":   {"own words after --: dcalab vagrant -- --machine-readable status", ""},
		"up node09":                           {"did you mean node01 or node02?", ""},
		"up nod01":                            {"did you mean node01?", " or "},
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			status, _, story := run(t, strings.Fields(line)...)
			if status == 0 || !strings.Contains(story, c.has) || c.lacks != "" && strings.Contains(story, c.lacks) {
				t.Errorf("exit status %d, want %q without %q:\n%s", status, c.has, c.lacks, story)
			}
		})
	}
}

// keep writes the record of a lab into a folder.
func keep(t *testing.T, root, name, subnet string) {
	t.Helper()
	state, err := lab.OpenState(root, name, lab.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Create(); err != nil {
		t.Fatal(err)
	}
	record := lab.Record{Format: 1, ID: "0123456789ab", Lab: name, Driver: lab.DriverSandbox, Subnet: subnet, Created: time.Unix(0, 0)}
	if err := state.WriteRecord(record); err != nil {
		t.Fatal(err)
	}
	remembered(t, root, name, record.ID)
}

func TestMadeInAFolderWithAPattern(t *testing.T) {
	root := filepath.Join(t.TempDir(), "x[1]")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	keep(t, root, "dca", "10.20.20.0/24")
	if got := labsession.Made(filepath.Join(root, lab.StateFolder)); len(got) != 1 || got[0] != "dca" {
		t.Errorf("made = %q", got)
	}
}

// A lab of another file is neither the built-in one's, nor reached without it.
func TestALabOfAnotherFile(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, c := range []struct {
		lab        string
		args       []string
		has, lacks string
	}{
		{"big", []string{"init"}, "dcalab --config FILE --lab big destroy", "built-in"},
		{"dca", []string{"init"}, "made from the built-in file", "--config"},
		{"big", []string{"ssh", "master"}, "dcalab --config FILE --lab big status", "move that file"},
		{"dca", []string{"exec", "all", "--", "uptime"}, "all nodes: dcalab exec --all -- COMMAND", "all nodes by"},
	} {
		t.Run(c.lab+" "+c.args[0], func(t *testing.T) {
			t.Chdir(t.TempDir())
			keep(t, ".", c.lab, "10.20.20.0/24")
			_, _, story := runHere(t, c.args...)
			if !strings.Contains(story, c.has) || strings.Contains(story, c.lacks) {
				t.Errorf("want %q without %q:\n%s", c.has, c.lacks, story)
			}
		})
	}
}

// init keeps out of the way of the labs that there are.
func TestInitTakesAFreeSubnet(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	elsewhere, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, subnet := range map[string]string{"one": "10.20.20.0/24", "two": "10.20.30.128/25"} {
		keep(t, elsewhere, name, subnet)
		index, err := lab.OpenIndex(os.Getenv, lab.Owner{})
		if err != nil {
			t.Fatal(err)
		}
		if err := index.Add(lab.Place{Root: elsewhere, Lab: name}); err != nil {
			t.Fatal(err)
		}
	}
	status, _, story := run(t, "init", "--managers", "2")
	text, err := os.ReadFile(lab.FileName)
	// Which one is free is this machine's affair: a lab may be up on it.
	took := regexp.MustCompile(`chose subnet (10\.20\.\d+\.)0/24: lab one in (.*) has 10\.20\.20\.0/24`).FindStringSubmatch(story)
	if status != 0 || err != nil || took == nil || took[2] != elsewhere {
		t.Fatalf("exit status %d, %v: %s", status, err, story)
	}
	if !strings.Contains(story, "2 managers, an even number") {
		t.Errorf("no warning: %s", story)
	}
	if took[1] == "10.20.20." || took[1] == "10.20.30." || strings.Contains(string(text), "10.20.20.") || !strings.Contains(string(text), "ip: "+took[1]+"101") {
		t.Errorf("it wrote\n%s", text)
	}
	if err := os.RemoveAll(elsewhere); err != nil {
		t.Fatal(err)
	}
	if status, _, story := run(t, "init"); status != 0 || strings.Contains(story, elsewhere) {
		t.Errorf("no lab is left: exit status %d, %s", status, story)
	}
}
