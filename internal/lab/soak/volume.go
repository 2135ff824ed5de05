package soak

// packages are those that the table runs programs of.
var packages = []string{
	"dash", "bash", "coreutils", "grep", "perl", "python3", "git", "curl", "openssl", "openssh-client", "sqlite3",
	"luajit", "nodejs", "openjdk-17-jre-headless", "openjdk-17-jre-zero", "ruby", "php8.2-cli", "php8.2-opcache", "erlang-base",
	"qemu-system-x86", "postgresql-15", "podman", "crun", "gdb", "strace",
}

// RootHashFile tells process 1 of a guest what its environment does not.
const RootHashFile = "/root-hash"

// rootPackages are those of a whole system.
var rootPackages = []string{"systemd-sysv", "dbus", "libpam-systemd", "udev", "kmod", "login", "nginx-light", "openssh-server", "openssh-client", "python3", "gdb"}

// files are what the installation of packages would have made, and what programs are given
// to work on. Each name is one in the volume.
var files = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\npostgres:x:100:100:postgres:/tmp:/bin/sh\n",
	"etc/group":  "root:x:0:\npostgres:x:100:\n",
	// Writes a number to a port and halts: where an x86 processor begins after a reset.
	"etc/bios": string(make([]byte, 0xfff0)) + "\xb0\x15\xe6\xf4\xf4\xeb\xfd" + string(make([]byte, 9)),
	// Whether a process gets memory that may be executed and belongs to no file.
	"etc/asks.py": "import mmap\ntry:\n\tmmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)\n\tprint('got')\nexcept PermissionError:\n\tprint('refused')\n",
}
