package hint

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
)

// alias is a command of another tool, or a wrong name or flag of one of ours,
// and what to type instead.
type alias struct {
	// typed are the first words after dcalab.
	typed string
	// next is the advice. In it {rest} is what followed (or NODE), {rest:X} the
	// same (or X), {words} everything that was typed, {manager} the first manager
	// of the lab, {lab} the lab's name.
	next []string
}

// AliasAdvice is every line of advice in the table of aliases, with its
// placeholders.
func AliasAdvice() []string {
	var out []string
	for _, a := range aliases() {
		out = append(out, a.next...)
	}
	return out
}

// aliases are the words of other tools: Docker, Vagrant, and common habits. The
// entry with the most words that match is taken, so the order does not matter.
func aliases() []alias {
	const ask = "on a manager: dcalab ssh {manager} -- docker {words}"
	const each = "on every node: dcalab exec --all -- docker {words}"
	return []alias{
		// Docker's own.
		{"swarm init", []string{"dcalab swarm bootstrap does it: init, join, promote, on the lab's addresses"}},
		{"swarm join", []string{"dcalab join {rest}, for nodes of the lab; it fetches the token itself", "all nodes: dcalab swarm bootstrap"}},
		{"swarm join-token", []string{"dcalab swarm token worker, dcalab swarm token manager"}},
		{"swarm update", []string{"settings of the swarm stand in labs.yaml, under swarm:, and dcalab swarm bootstrap applies them", "or on a manager: dcalab ssh {manager} -- docker swarm update --help"}},
		{"swarm ca", []string{ask}},
		{"swarm ls", []string{"dcalab status"}},
		{"swarm list", []string{"dcalab status"}},
		{"swarm status", []string{"dcalab status"}},
		{"swarm create", []string{"dcalab swarm bootstrap"}},
		{"swarm up", []string{"dcalab swarm bootstrap", "machines and swarm: dcalab up --swarm"}},
		{"swarm start", []string{"dcalab swarm bootstrap", "machines that are halted: dcalab start"}},
		{"swarm rm", []string{"the whole swarm: dcalab swarm dissolve", "one node of it: dcalab swarm leave NODE"}},
		{"swarm destroy", []string{"the swarm: dcalab swarm dissolve", "the machines: dcalab destroy"}},
		{"swarm reset", []string{"dcalab swarm dissolve, then dcalab swarm bootstrap"}},
		{"swarm lock", []string{"write autolock: true under swarm: in labs.yaml, then dcalab swarm bootstrap"}},
		{"swarm key", []string{"dcalab swarm unlock-key"}},
		{"node ls", []string{"dcalab status", "or Docker's own words: dcalab ssh {manager} -- docker node ls"}},
		{"node list", []string{"dcalab status"}},
		{"node promote", []string{"dcalab promote {rest}"}},
		{"node demote", []string{"dcalab demote {rest}"}},
		{"node rm", []string{"dcalab remove {rest}"}},
		{"node update", []string{"dcalab drain NODE, dcalab pause NODE, dcalab activate NODE", "labels: dcalab label set NODE KEY=VALUE", "role: dcalab promote NODE, dcalab demote NODE"}},
		{"node", []string{"dcalab status", ask}},
		{"nodes", []string{"dcalab status"}},
		{"service", []string{ask}},
		{"stack", []string{"first the file: dcalab cp FILE {manager}:", ask}},
		{"secret", []string{ask}},
		{"network", []string{ask}},
		{"system", []string{each}},
		{"volume", []string{each}},
		{"container", []string{each}},
		{"ps", []string{"the nodes: dcalab status", "containers: dcalab exec --all -- docker {words}"}},
		{"info", []string{"the lab: dcalab status", each}},
		{"inspect", []string{"the lab: dcalab status -o json", ask}},
		{"images", []string{"dcalab image list"}},
		{"pull", []string{"an image of this machine's Docker: dcalab image load IMAGE", each}},
		{"build", []string{"build it here with docker build, then: dcalab image load IMAGE"}},
		{"run", []string{"dcalab exec NODE -- docker {words}", "a service: dcalab ssh {manager} -- docker service create …"}},
		{"image ls", []string{"dcalab image list"}},
		{"image pull", []string{"an image of this machine's Docker: dcalab image load {rest:IMAGE}", each}},
		{"image push", []string{"dcalab image load {rest:IMAGE}"}},
		{"image import", []string{"dcalab image load FILE.tar"}},
		{"image build", []string{"build it here with docker build, then: dcalab image load IMAGE", "one that needs no Docker: dcalab image load demo"}},
		{"image rm", []string{each}},
		{"image prune", []string{each}},
		{"context ls", []string{"docker context ls"}},
		{"context list", []string{"docker context ls"}},
		{"context use", []string{"docker context use dcalab-{lab}", "in this shell alone: eval \"$(dcalab env)\""}},
		{"context delete", []string{"dcalab context rm"}},
		{"context remove", []string{"dcalab context rm"}},
		{"context update", []string{"dcalab context create, run again, moves it: dcalab context create --node NODE"}},
		{"config ls", []string{"of the swarm: dcalab ssh {manager} -- docker config ls", "of dcalab: dcalab config view"}},
		{"config create", []string{"of the swarm: dcalab ssh {manager} -- docker {words}", "of dcalab: dcalab init"}},
		{"config show", []string{"dcalab config view"}},
		{"config get", []string{"dcalab config view"}},
		{"config check", []string{"dcalab config validate"}},
		{"config edit", []string{"edit labs.yaml (dcalab init writes one), then dcalab config validate"}},
		{"config set", []string{"edit labs.yaml (dcalab init writes one), then dcalab config validate"}},
		{"config init", []string{"dcalab init"}},
		{"label add", []string{"dcalab label set {rest}"}},
		{"label delete", []string{"dcalab label rm {rest}"}},
		{"label unset", []string{"dcalab label rm {rest}"}},
		{"init --advertise-addr", []string{"dcalab init writes a labs.yaml; what docker swarm init does, dcalab swarm bootstrap does, on the lab's addresses"}},
		{"swarm bootstrap --advertise-addr", []string{"none is needed: every node advertises the address that labs.yaml gives it"}},
		{"join --token", []string{"none is needed: dcalab join NODE fetches the token itself, and shows it nowhere"}},
		{"init --nodes", []string{"managers and workers are counted apart: dcalab init --managers 1 --workers 2"}},
		{"init --force", []string{"a labs.yaml that is there is never overwritten: first mv labs.yaml labs.yaml.old"}},
		{"render --output", []string{"it prints: dcalab render > Vagrantfile"}},
		{"render -o", []string{"it prints: dcalab render > Vagrantfile"}},
		{"logs --tail", []string{"did you mean --lines?"}},
		{"logs -t", []string{"did you mean --lines?"}},
		{"start --swarm", []string{"dcalab up --swarm", "machines that were in a swarm go back into it by themselves"}},
		{"swarm unlock --key", []string{"a key on the command line would be seen by others; it is asked for, or read: dcalab swarm unlock < FILE"}},
		{"swarm unlock-key --rotate", []string{"on a manager: dcalab ssh {manager} -- docker swarm unlock-key --rotate"}},
		{"swarm bootstrap --autolock", []string{"write autolock: true under swarm: in labs.yaml, then dcalab swarm bootstrap"}},
		{"--version", []string{"dcalab version"}},
		{"-V", []string{"dcalab version"}},
		{"ssh -l", []string{"dcalab ssh is always as the node's ordinary user, who may sudo"}},
		{"ssh -p", []string{"what ssh itself takes: ssh -F .dcalab/{lab}/ssh_config NODE"}},

		// Vagrant's, and general ones.
		{"rm", []string{"out of the swarm: dcalab remove {rest}", "the machine, too: dcalab destroy {rest}"}},
		{"delete", []string{"the machine: dcalab destroy {rest}", "out of the swarm alone: dcalab remove {rest}"}},
		{"kill", []string{"dcalab halt --force {rest}"}},
		{"stop", []string{"dcalab halt {rest:}"}},
		{"poweroff", []string{"dcalab halt {rest:}"}},
		{"shutdown", []string{"dcalab halt {rest:}"}},
		{"suspend", []string{"dcalab halt {rest:}", "keep it as it is: dcalab snapshot save NAME"}},
		{"resume", []string{"dcalab start {rest:}"}},
		{"restart", []string{"the machine: dcalab halt {rest}, then dcalab start {rest}", "its engine: dcalab ssh {rest} -- sudo service docker restart"}},
		{"reboot", []string{"dcalab halt {rest}, then dcalab start {rest}"}},
		{"reload", []string{"dcalab halt {rest}, then dcalab start {rest}"}},
		{"provision", []string{"dcalab up {rest:}"}},
		{"create", []string{"dcalab up", "with a swarm: dcalab up --swarm"}},
		{"leave", []string{"one node: dcalab swarm leave {rest}", "the whole swarm: dcalab swarm dissolve"}},
		{"clean", []string{"the engines: dcalab reset", "the machines: dcalab destroy"}},
		{"prune", []string{"machines that labs.yaml no longer has: dcalab up --prune", "the engines: dcalab reset"}},
		{"shell", []string{"dcalab ssh {rest}"}},
		{"bash", []string{"dcalab ssh {rest}"}},
		{"attach", []string{"dcalab ssh {rest}"}},
		{"connect", []string{"dcalab ssh {rest}"}},
		{"scp", []string{"dcalab cp FILE NODE:", "dcalab cp NODE:FILE ."}},
		{"copy", []string{"dcalab cp FILE NODE:", "dcalab cp NODE:FILE ."}},
		{"box", []string{"dcalab vagrant -- {words}"}},
		{"global-status", []string{"dcalab list"}},
		{"labs", []string{"dcalab list"}},
		{"use", []string{"another lab: dcalab --lab LAB status", "in this shell: eval \"$(dcalab --lab LAB env)\""}},
		{"rollback", []string{"the lab: dcalab snapshot restore NAME", "a service: dcalab ssh {manager} -- docker service rollback SERVICE"}},
		{"backup", []string{"dcalab snapshot save NAME"}},
		{"scale", []string{"dcalab ssh {manager} -- docker service scale SERVICE=3"}},
		{"snapshot create", []string{"dcalab snapshot save {rest:NAME}"}},
		{"snapshot take", []string{"dcalab snapshot save {rest:NAME}"}},
		{"snapshot rm", []string{"dcalab snapshot delete {rest:NAME}"}},
		{"snapshot remove", []string{"dcalab snapshot delete {rest:NAME}"}},
		{"snapshot load", []string{"dcalab snapshot restore {rest:NAME}"}},
		{"snapshot rollback", []string{"dcalab snapshot restore {rest:NAME}"}},
		{"snapshot revert", []string{"dcalab snapshot restore {rest:NAME}"}},
		{"completion sh", []string{"dcalab completion bash"}},
	}
}

// suggestForAlias gives the advice for words that follow the command c; nil
// where no alias matches.
func (a Advisor) suggestForAlias(c *cobra.Command, args []string) []string {
	typed := append(strings.Fields(Path(c)), args...)
	if len(typed) > 1 && typed[0] == "docker" {
		typed = typed[1:]
	}
	var best *alias
	length := 0
	for _, entry := range aliases() {
		words := strings.Fields(entry.typed)
		if len(words) <= length || len(words) > len(typed) || strings.Join(typed[:len(words)], " ") != entry.typed {
			continue
		}
		best, length = &entry, len(words)
	}
	if best == nil {
		return nil
	}
	manager, name := "NODE", "LAB"
	if l := a.Lab(); l != nil {
		name = l.Name
		for _, n := range l.Nodes {
			if n.Role == lab.RoleManager {
				manager = n.Name
				break
			}
		}
	}
	words := strings.Join(typed, " ")
	if slices.ContainsFunc(a.Args, func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		words += " …"
	}
	rest := strings.Join(typed[length:], " ")
	or := func(s string) string {
		if rest != "" {
			return rest
		}
		return s
	}
	return fill(best.next,
		"{rest}", or("NODE"), "{rest:NAME}", or("NAME"), "{rest:IMAGE}", or("IMAGE"), " {rest:}", strings.TrimRight(" "+rest, " "),
		"{words}", words, "{manager}", manager, "{lab}", name,
	)
}

// fill replaces placeholders in lines of advice; pairs are as of
// strings.NewReplacer.
func fill(lines []string, pairs ...string) []string {
	var out []string
	r := strings.NewReplacer(pairs...)
	for _, line := range lines {
		out = append(out, r.Replace(line))
	}
	return out
}
