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
	// Memory, if there are both, and of all of them Mended.
	Lines          []string
	Memory, Mended Outcome
	// Unit, if set, is the outcome in a unit of systemd with MemoryDenyWriteExecute, with
	// all lines.
	Unit Outcome
}

// lines gives the statements of a profile, for programs on the volume of that root hash.
// Rules are monitored, not off, so that records tell which of them were needed.
func (p Program) lines(root string, memoryOnly bool) (all []string) {
	for _, l := range p.Lines {
		what, path, _ := strings.Cut(l, " ")
		switch identity := " dmverity_roothash=" + root + " path=" + path; {
		case what == "anon_exec":
			all = append(all, what+identity)
		case !memoryOnly:
			all = append(all, "rule="+what+identity+" action=monitor")
		}
	}
	return all
}

// Where programs are.
const (
	python = "/usr/bin/python3.11"
	node   = "/usr/bin/node"
	java   = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
	ruby   = "/usr/bin/ruby3.1"
	php    = "/usr/bin/php8.2"
	git    = "/usr/bin/git"
	gdb    = "/usr/bin/gdb"
	strace = "/usr/bin/strace"
	qemu   = "/usr/bin/qemu-system-x86_64"
	pgsql  = "/usr/lib/postgresql/15/bin/"
	beam   = "/usr/lib/erlang/erts-13.1.5/bin/beam.smp"
)

// Parts of commands.
const (
	sum     = `let s = 0; for (let i = 1; i <= 1e6; i++) s += i % 7; console.log(s)`
	sumLua  = `local s = 0 for i = 1, 1e6 do s = s + i % 7 end print(s)`
	child   = `const r = require("child_process").spawnSync("python3", ["/etc/asks.py"]); console.log("child " + r.stdout)`
	sumRuby = `s = 0; 1_000_000.times { |i| s += (i + 1) % 7 }; puts s`
	erlang  = `io:format("product ~p~n", [6 * 7]), halt().`
	sumPHP  = `$s = 0; for ($i = 1; $i <= 1000000; $i++) $s += $i % 7; echo $s;`
	bios    = ` -M isapc -nodefaults -display none -bios /etc/bios -device isa-debug-exit,iobase=0xf4; echo status $?`
	initdb  = pgsql + `initdb -D /tmp/pg -N --no-instructions >/dev/null && echo "select sum(i % 7) from generate_series(1, 1000) i" | ` + pgsql + `postgres --single -D /tmp/pg `
)

// Programs is the table.
var Programs = []Program{
	{Name: "sh", Command: `echo $((6 * 7))`, Says: "42", Policy: Works, Strict: Works},
	{Name: "bash", Command: `bash -c 'a=(6 7); echo $((a[0] * a[1]))'`, Says: "42", Policy: Works, Strict: Works},
	{Name: "perl", Command: `perl -e 'print "match 42" if ("a" x 1000 . "b") =~ /^(?:a|aa)+?b$/'`, Says: "match 42", Policy: Works, Strict: Works, Unit: Works},
	{Name: "python3", Command: `python3 -c 'print(6 * 7)'`, Says: "42", Policy: Works, Strict: Works, Unit: Works},
	{Name: "python3, ctypes", Command: `python3 -c 'import ctypes; print(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda i: i * 2)(21))'`, Says: "42", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + python, "map-wx " + python}, Memory: Breaks, Mended: Works, Unit: Breaks},
	{Name: "grep -P", Command: `grep -P -c 'r(o)\1t' /etc/passwd`, Says: "1", Policy: Copes, Strict: Copes,
		Lines: []string{"anon_exec /usr/bin/grep", "map-wx /usr/bin/grep"}, Memory: Copes, Mended: Works, Unit: Works},
	{Name: "luajit", Command: `luajit -e '` + sumLua + `'`, Says: "2999998", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec /usr/bin/luajit"}, Mended: Works, Unit: Breaks},
	{Name: "luajit -joff", Command: `luajit -joff -e '` + sumLua + `'`, Says: "2999998", Policy: Works, Strict: Works, Unit: Works},
	{Name: "node", Command: `node -e '` + sum + `'`, Says: "2999998", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + node, "protect-wx " + node}, Memory: Breaks, Mended: Works, Unit: Breaks},
	{Name: "node --jitless", Command: `node --jitless -e '` + sum + `'`, Says: "2999998", Policy: Works, Strict: Works, Unit: Works},
	{Name: "node starts another", Command: `node -e '` + child + `'`, Says: "child refused", Free: "child got", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + node, "protect-wx " + node}, Memory: Breaks, Mended: Copes},
	{Name: "gdb, run", Command: `gdb -nx -batch -ex run --args /bin/echo 42 </dev/null`, Says: "exited normally", Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + gdb, "traceme " + gdb, "proc-mem " + gdb}, Mended: Works, Unit: Works},
	// It first tries on a child of its own what ptrace can do, and waits for ever if that
	// child is refused.
	{Name: "gdb, attach", Command: `sleep 100 & gdb -nx -batch -p $! -ex "info registers rip"; kill $!`, Says: "rip  ", Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + gdb, "traceme " + gdb, "proc-mem " + gdb}, Mended: Works},
	{Name: "strace", Command: `strace -o /tmp/calls -e trace=execve echo 42; cat /tmp/calls`, Says: `execve("`, Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + strace, "traceme " + strace}, Mended: Works},
	{Name: "dash", Command: `dash -c 'echo $((6 * 7))'`, Says: "42", Policy: Works, Strict: Works},
	{Name: "git", Command: `git --version`, Says: "git version", Policy: Works, Strict: Works},
	{Name: "git grep -P", Command: `git grep --no-index -P -c 'r(o)\1t' etc/passwd`, Says: "etc/passwd:1", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + git, "map-wx " + git}, Memory: Breaks, Mended: Works},
	{Name: "curl", Command: `curl -s file:///etc/passwd`, Says: "postgres", Policy: Works, Strict: Works},
	{Name: "openssl", Command: `openssl dgst -sha256 /etc/group`, Says: "SHA2-256(/etc/group)= ", Policy: Works, Strict: Works},
	{Name: "ssh-keygen", Command: `ssh-keygen -q -t ed25519 -N "" -f /tmp/key && cat /tmp/key.pub`, Says: "ssh-ed25519 ", Policy: Works, Strict: Works},
	{Name: "sqlite3", Command: `sqlite3 :memory: "select 6 * 7"`, Says: "42", Policy: Works, Strict: Works},
	{Name: "podman", Command: `podman --version`, Says: "podman version", Policy: Works, Strict: Works},
	{Name: "crun", Command: `crun --version`, Says: "crun version", Policy: Works, Strict: Works},
	{Name: "ruby", Command: `ruby -e 'puts 6 * 7'`, Says: "42", Policy: Works, Strict: Works},
	{Name: "ruby --yjit", Command: `ruby --yjit -e '` + sumRuby + `'`, Says: "2999998", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + ruby}, Mended: Works},
	{Name: "php", Command: `php8.2 -r '` + sumPHP + `'`, Says: "2999998", Policy: Works, Strict: Works},
	{Name: "php, preg", Command: `php8.2 -r '$n = preg_match("/r(o)\\1t/", "root"); echo "matches $n";'`, Says: "matches 1", Policy: Copes, Strict: Copes,
		Lines: []string{"anon_exec " + php, "map-wx " + php}, Memory: Copes, Mended: Works},
	// Its memory is shared, which makes it a file of the kernel's, and anon_exec is for none.
	{Name: "php, JIT", Command: `php8.2 -d zend_extension=opcache -d opcache.enable_cli=1 -d opcache.jit_buffer_size=16M -d opcache.jit=function -r '` + sumPHP + `'`, Says: "2999998", Policy: Copes, Strict: Copes,
		Lines: []string{"anon_exec " + php}, Mended: Copes},
	// It asks for memory of a file first, which nothing gives it, and then for memory without.
	{Name: "erlang", Command: `erl -noshell -eval '` + erlang + `'`, Says: "product 42", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + beam, "map-wx " + beam}, Memory: Breaks, Mended: Copes},
	{Name: "java", Command: java + ` -version`, Says: "OpenJDK Runtime", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + java, "map-wx " + java, "protect-wx " + java}, Memory: Breaks, Mended: Works, Unit: Breaks},
	{Name: "java -Xint", Command: java + ` -Xint -version`, Says: "OpenJDK Runtime", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + java, "map-wx " + java, "protect-wx " + java}, Memory: Breaks, Mended: Works},
	{Name: "java -zero", Command: java + ` -zero -version`, Says: "OpenJDK Runtime", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + java, "map-wx " + java}, Memory: Breaks, Mended: Works},
	{Name: "qemu, TCG", Command: `qemu-system-x86_64 -accel tcg` + bios, Says: "status 43", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + qemu, "protect-wx " + qemu}, Memory: Breaks, Mended: Works},
	{Name: "postgres", Command: initdb + `postgres`, User: true, Says: "3003", Policy: Works, Strict: Works},
	{Name: "postgres, JIT", Command: initdb + `-c jit_above_cost=0 postgres`, User: true, Says: "3003", Policy: Breaks, Strict: Breaks,
		Lines: []string{"anon_exec " + pgsql + "postgres"}, Mended: Works},
	{Name: "gdb, breakpoint", Command: `gdb -nx -batch -ex starti -ex "break *\$pc+3" -ex continue -ex "info registers rip" --args /bin/echo 42 </dev/null`, Says: "rip  ", Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + gdb, "traceme " + gdb, "proc-mem " + gdb}, Mended: Works},
	{Name: "strace -p", Command: `sleep 3 & strace -o /tmp/calls -p $!; cat /tmp/calls`, Says: `exit_group(`, Policy: Works, Strict: Breaks,
		Lines: []string{"ptrace " + strace, "traceme " + strace}, Mended: Works},
}
