package soak

import "strings"

// Outcome is what becomes of a program.
type Outcome string

// The outcomes.
const (
	// Works: it does what it shall, and nothing was refused.
	Works Outcome = "works"
	// Copes: something was refused, and it does what it shall all the same.
	Copes Outcome = "copes"
	// Breaks: it does not do what it shall.
	Breaks Outcome = "breaks"
)

// Program is a line of the table.
type Program struct {
	Name string
	// Command is one of the shell's, run as root, or as user 100 if User is set.
	Command string
	User    bool
	// Says is part of what it prints if it does what it shall; Free, if set, is that where
	// no engine is.
	Says, Free string
	// Policy is the outcome under the policy alone, Strict with the strict profile.
	Policy, Strict Outcome
	// Lines mend it: "anon_exec PATH" and "RULE PATH". Of those of anon_exec alone comes
	// Memory, if there are others.
	Lines          []string
	Memory, Mended Outcome
}

// lines gives the statements of a profile, for programs on the volume of that root hash.
func (p Program) lines(root string, memoryOnly bool) (all []string) {
	for _, l := range p.Lines {
		what, path, _ := strings.Cut(l, " ")
		switch identity := " dmverity_roothash=" + root + " path=" + path; {
		case what == "anon_exec":
			all = append(all, what+identity)
		case !memoryOnly:
			all = append(all, "rule="+what+identity+" action=off")
		}
	}
	return all
}

// Where programs are.
const (
	python = "/usr/bin/python3.11"
	node   = "/usr/bin/node"
	gdb    = "/usr/bin/gdb"
	strace = "/usr/bin/strace"
)

// Parts of commands.
const (
	sum    = `let s = 0; for (let i = 1; i <= 1e6; i++) s += i % 7; console.log(s)`
	sumLua = `local s = 0 for i = 1, 1e6 do s = s + i % 7 end print(s)`
	child  = `const r = require("child_process").spawnSync("python3", ["/etc/asks.py"]); console.log("child " + r.stdout)`
)

// Programs is the table.
var Programs = []Program{
	{Name: "sh", Command: `echo $((6 * 7))`, Says: "42", Policy: Works, Strict: Works},
	{Name: "bash", Command: `bash -c 'a=(6 7); echo $((a[0] * a[1]))'`, Says: "42", Policy: Works, Strict: Works},
	{Name: "perl", Command: `perl -e 'print "match 42" if ("a" x 1000 . "b") =~ /^(?:a|aa)+?b$/'`, Says: "match 42", Policy: Works, Strict: Works},
	{Name: "python3", Command: `python3 -c 'print(6 * 7)'`, Says: "42", Policy: Works, Strict: Works},
	{Name: "python3, ctypes", Command: `python3 -c 'import ctypes; print(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda i: i * 2)(21))'`, Says: "42", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + python, "map-wx " + python}, Memory: Breaks, Mended: Works},
	{Name: "grep -P", Command: `grep -P -c 'r(o)\1t' /etc/passwd`, Says: "1", Policy: Copes, Strict: Copes,
		Lines: []string{"anon_exec /usr/bin/grep", "map-wx /usr/bin/grep"}, Memory: Copes, Mended: Works},
	{Name: "luajit", Command: `luajit -e '` + sumLua + `'`, Says: "2999998", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec /usr/bin/luajit"}, Mended: Works},
	{Name: "luajit -joff", Command: `luajit -joff -e '` + sumLua + `'`, Says: "2999998", Policy: Works, Strict: Works},
	{Name: "node", Command: `node -e '` + sum + `'`, Says: "2999998", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + node, "protect-wx " + node}, Memory: Breaks, Mended: Works},
	{Name: "node --jitless", Command: `node --jitless -e '` + sum + `'`, Says: "2999998", Policy: Works, Strict: Works},
	{Name: "node starts another", Command: `node -e '` + child + `'`, Says: "child refused", Free: "child got", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + node, "protect-wx " + node}, Memory: Breaks, Mended: Copes},
	{Name: "gdb, run", Command: `gdb -nx -batch -ex run --args /bin/echo 42 </dev/null`, Says: "exited normally", Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + gdb, "traceme " + gdb, "proc-mem " + gdb}, Mended: Works},
	{Name: "gdb, attach", Command: `sleep 100 & gdb -nx -batch -p $! -ex "info registers rip"; kill $!`, Says: "rip  ", Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + gdb, "proc-mem " + gdb}, Mended: Works},
	{Name: "strace", Command: `strace -o /tmp/calls -e trace=execve echo 42; cat /tmp/calls`, Says: `execve("`, Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + strace, "traceme " + strace}, Mended: Works},
}
