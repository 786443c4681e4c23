package hint

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/trouble"
)

// wrongFlag says what is wrong with a flag.
func (a Advisor) wrongFlag(c *cobra.Command, err error) error {
	ParseLabFlags(c.Root().PersistentFlags(), a.Args)
	// In dcalab docker service create --name web, the command is wrong, and not
	// the flag.
	if words := c.Flags().Args(); c.HasSubCommands() && len(words) > 0 {
		return a.unknownCommand(c, words)
	}
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown):
		return a.unknownFlag(c, unknown)
	case errors.As(err, &empty):
		f := empty.GetFlag()
		return trouble.Usage(flagName(f)+" needs a value: "+f.Usage, append(a.values(f.Name), seeHelp(c))...)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		why, how := "it cannot be read", "--"+f.Name+": "+f.Usage
		switch f.Value.Type() {
		case "int":
			why = "it is not an integer"
			if errors.Is(err, strconv.ErrRange) {
				why = "the number is too large"
			}
		case "bool":
			why, how = "the flag is a switch, and takes no such value", "--"+f.Name+", or --"+f.Name+"=false"
		case "duration":
			why, how = "it is not a duration", "seconds, minutes, hours: --"+f.Name+" 30s, --"+f.Name+" 10m, --"+f.Name+" 2h"
		}
		return trouble.Usage(fmt.Sprintf("%s %q: %s", flagName(f), invalid.GetValue(), why), how, seeHelp(c))
	case errors.As(err, &syntax):
		return trouble.Usage(fmt.Sprintf("%q is not a valid flag", syntax.GetSpecifiedFlag()), "a flag is written --name, or --name=VALUE", seeHelp(c))
	}
	return trouble.Usage(err.Error(), seeHelp(c))
}

func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

// unknownFlag suggests a flag for one that the command does not have.
func (a Advisor) unknownFlag(c *cobra.Command, unknown *pflag.NotExistError) error {
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	typed, near := "--"+unknown.GetSpecifiedName(), ""
	if unknown.GetSpecifiedShortnames() == "" {
		near = lab.Nearest(unknown.GetSpecifiedName(), known)
	} else {
		typed = "-" + unknown.GetSpecifiedName()
		if typed[1] >= '0' && typed[1] <= '9' {
			return trouble.Usage(fmt.Sprintf("%s has no flag %s", c.CommandPath(), typed), "what begins with a dash and is no flag comes behind --", seeHelp(c))
		}
		// -force is -f -o -r -c -e: perhaps a dash is missing.
		for _, arg := range a.Args {
			if long, one := strings.CutPrefix(arg, "-"); one && len(long) > 2 && !strings.HasPrefix(long, "-") &&
				strings.HasSuffix(long, unknown.GetSpecifiedShortnames()) {
				long, _, _ = strings.Cut(long, "=")
				if near = lab.Nearest(long, known); near != "" {
					typed = arg
				}
			}
		}
		// The only one that begins with the letter.
		var begin []string
		for _, k := range known {
			if strings.HasPrefix(k, unknown.GetSpecifiedName()) {
				begin = append(begin, k)
			}
		}
		if near == "" && len(begin) == 1 {
			near = begin[0]
		}
	}
	var next []string
	if near != "" {
		next = append(next, "did you mean --"+near+"?")
	}
	line := ""
	if slices.Contains([]string{"exec", "vagrant"}, Path(c)) {
		line = a.insertDashDash(c)
	}
	if line != "" {
		if !strings.HasPrefix(typed, "--") {
			next = nil // a letter is near to anything
		}
		next = append(next, "put the command's own words after --: "+line)
	} else if habit := a.suggestForAlias(c, []string{typed}); len(habit) > 0 {
		next = habit
	} else {
		next = append(next, a.suggestForMissingFlag(c, typed)...)
	}
	return trouble.Usage(c.CommandPath()+" has no flag "+typed, append(next, seeHelp(c))...)
}

// suggestForMissingFlag says what to do instead of a flag that other commands
// have, and this one does not.
func (a Advisor) suggestForMissingFlag(c *cobra.Command, typed string) []string {
	has := func(name string) bool { return c.Flags().Lookup(name) != nil }
	switch typed {
	case "--all", "-a":
		l := a.Lab()
		switch {
		case strings.Contains(c.Use, "[NODE...]") && !has("all"):
			return []string{"without a name it is for all nodes: " + c.CommandPath()}
		case strings.Contains(c.Use, "NODE...") && !has("all") && l != nil:
			return []string{"name the nodes: " + c.CommandPath() + " " + strings.Join(l.NodeNames(), " ")}
		}
	case "--yes", "-y":
		if !has("yes") {
			return []string{"it does not ask: leave " + typed + " out"}
		}
	case "--force", "-f":
		switch {
		case has("yes") && !has("force"):
			return []string{"not to be asked: --yes"}
		case !has("force") && !has("follow"):
			return []string{"it has nothing that could be forced: leave " + typed + " out"}
		}
	case "--output", "-o", "--format":
		if !has("output") {
			return []string{"it has no other output format; dcalab status and dcalab list have -o json"}
		}
		return []string{"did you mean --output? json or yaml"}
	case "-R":
		if has("recursive") {
			return []string{"did you mean -r, --recursive?"}
		}
	}
	return nil
}

// values lists those that a flag may have, where they are known.
func (a Advisor) values(flag string) []string {
	switch flag {
	case "lab":
		if labs := a.Labs(); len(labs) > 0 {
			return []string{"the labs are " + strings.Join(labs, ", ")}
		}
	case "provider":
		return []string{"the providers are " + strings.Join(a.Providers, ", ")}
	case "node", "take-over":
		return a.nodeNames()
	}
	return nil
}
