# shellcheck shell=sh
# Gives a machine the names of all the lab's: the lines of the input are put
# into /etc/hosts (or into the file named), in place of those put there before.
# As root.
set -eu
hosts=${1:-/etc/hosts}
lines=$(cat)
export lines
new=$(mktemp)
trap 'rm -f "$new"' EXIT
# What else is said of these names goes: Vagrant points a machine's own name
# at 127.0.1.1 or 127.0.2.1, where no other node would look for it.
awk '
	BEGIN {
		begin = "# dcalab: the nodes of the lab"; end = "# dcalab: end"
		n = split(ENVIRON["lines"], line, "\n")
		for (l = 1; l <= n; l++) {
			w = split(line[l], word, " ")
			for (i = 2; i <= w; i++) ours[word[i]] = 1
		}
	}
	$0 == begin { skip = 1 }
	skip { if ($0 == end) skip = 0; next }
	/^[ \t]*(#|$)/ { print; next }
	{
		text = $1; left = 0
		for (i = 2; i <= NF && $i !~ /^#/; i++) if (!($i in ours)) { text = text " " $i; left++ }
		if (left) print text
	}
	END { print begin; print ENVIRON["lines"]; print end }
' "$hosts" >"$new"
if [ "$(cat "$new")" != "$(cat "$hosts")" ]; then cat "$new" >"$hosts"; fi
