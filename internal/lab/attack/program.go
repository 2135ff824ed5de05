// Package attack is what integrity enforcement is tried with: programs of few instructions,
// for x86-64, and techniques of a process that has got so far as to run its own code.
package attack

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
)

// Flags of clone(2) and numbers that the instructions below need.
const (
	cloneThread = 0x10000
	// ThreadFlags make a thread.
	ThreadFlags = 0x100 | 0x200 | 0x400 | 0x800 | cloneThread | 0x40000 // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM
)

// Exits ends with 0.
func Exits() []byte { return []byte{0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05} }

// headers is where the code begins in the file of a [Program].
const headers = 64 + 2*56

// ConstantAt is where the file of a program of [Constant] has its exit status. The byte
// is an instruction, if one jumps there.
const ConstantAt = headers + 1

// Constant ends with 0x55, which is one byte of its code.
func Constant() []byte {
	return []byte{0xbf, 0x55, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05} // exit_group(0x55)
}

// Asks asks for executable memory that belongs to no file. It ends with 1 if it got none.
func Asks() []byte {
	return []byte{
		0xb8, 9, 0, 0, 0, // mmap(
		0x31, 0xff, 0xbe, 0, 0x10, 0, 0, 0xba, 5, 0, 0, 0, // 0, 4096, PROT_READ | PROT_EXEC,
		0x41, 0xba, 0x22, 0, 0, 0, 0x49, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x45, 0x31, 0xc9, 0x0f, 0x05, // MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
		0x48, 0xc1, 0xe8, 0x3f, 0x89, 0xc7, 0xb8, 231, 0, 0, 0, 0x0f, 0x05, // exit_group(rax >> 63)
	}
}

// MapsWX maps a page of its own file writable and executable. It ends with 1 if it cannot.
func MapsWX() []byte {
	code := []byte{
		0xb8, 2, 0, 0, 0, 0x48, 0x8d, 0x3d, 53, 0, 0, 0, 0x31, 0xf6, 0x31, 0xd2, 0x0f, 0x05, // open(behind all this, O_RDONLY, 0)
		0x49, 0x89, 0xc0, // r8 = the descriptor
		0xb8, 9, 0, 0, 0, 0x31, 0xff, 0xbe, 0, 0x10, 0, 0, 0xba, 7, 0, 0, 0, // mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		0x41, 0xba, 2, 0, 0, 0, 0x45, 0x31, 0xc9, 0x0f, 0x05, // MAP_PRIVATE, descriptor, 0)
		0x48, 0xc1, 0xe8, 0x3f, 0x89, 0xc7, 0xb8, 231, 0, 0, 0, 0x0f, 0x05, // exit_group(rax >> 63)
	}
	binary.LittleEndian.PutUint32(code[8:], uint32(len(code)-12))
	return append(code, "/proc/self/exe\x00"...)
}

// Waits writes a byte and reads one.
func Waits() []byte {
	return []byte{0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05, 0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05}
}

// Parent waits for its child and ends as it did.
func Parent() []byte {
	return []byte{0x48, 0x83, 0xec, 16, 0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, 0x48, 0x89, 0xe6, 0x31, 0xd2, 0x4d, 0x31, 0xd2,
		0xb8, 61, 0, 0, 0, 0x0f, 0x05, 0x8b, 0x3c, 0x24, 0xc1, 0xef, 8, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}
}

// Sleeps is a thread that has another one do all.
func Sleeps() []byte { return []byte{0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7} }

// Forks makes a child with these flags, which goes on with what follows. A thread gets a
// stack below that of its maker.
func Forks(flags uint32, meanwhile []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0xb8, 56, 0, 0, 0, 0xbf}, flags)
	if flags&cloneThread != 0 {
		b = append(b, 0x48, 0x8d, 0xb4, 0x24, 0, 0xf0, 0xff, 0xff) // stack: rsp - 4096
	} else {
		b = append(b, 0x31, 0xf6)
	}
	b = append(b, 0x31, 0xd2, 0x4d, 0x31, 0xd2, 0x4d, 0x31, 0xc0, 0x0f, 0x05, 0x85, 0xc0, 0x74, byte(len(meanwhile)))
	return append(b, meanwhile...)
}

// SeizesChild forks a child, which waits, traces it, or tries to, ends it, and goes on.
func SeizesChild() []byte {
	return slices.Concat([]byte{0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x75, byte(len(Sleeps()))}, Sleeps(), []byte{
		0x89, 0xc6, 0xbf, 0x06, 0x42, 0, 0, 0x31, 0xd2, 0x45, 0x31, 0xd2, 0xb8, 101, 0, 0, 0, 0x0f, 0x05, // ptrace(PTRACE_SEIZE, child, 0, 0)
		0x89, 0xf7, 0xbe, 9, 0, 0, 0, 0xb8, 62, 0, 0, 0, 0x0f, 0x05, // kill(child, SIGKILL)
		0x31, 0xf6, 0x31, 0xd2, 0x45, 0x31, 0xd2, 0xb8, 61, 0, 0, 0, 0x0f, 0x05, // wait4(child, 0, 0, 0)
	})
}

// Executes goes on as another program, and ends with 3 if it cannot.
func Executes(path string) []byte {
	return slices.Concat([]byte{0x48, 0x8d, 0x3d, 23, 0, 0, 0, 0x31, 0xf6, 0x31, 0xd2, 0xb8, 59, 0, 0, 0, 0x0f, 0x05}, // execve(behind all this, 0, 0)
		[]byte{0xbf, 3, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}, []byte(path+"\x00")) // exit_group(3)
}

// Personality32 makes, as a 32-bit program, what is readable executable.
func Personality32() []byte {
	return append([]byte{0xb8, 136, 0, 0, 0, 0xbb, 0, 0, 0x40, 0, 0xcd, 0x80}, Exits()...) // int 0x80: personality(0x400000)
}

// Program is an ELF file of instructions; an executable stack is asked for, or refused.
func Program(code []byte, executableStack bool) []byte {
	const base = 0x400000
	flags := uint32(elf.PF_R | elf.PF_W)
	if executableStack {
		flags |= uint32(elf.PF_X)
	}
	size := uint64(headers + len(code))
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header64{Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}, Type: uint16(elf.ET_EXEC),
			Machine: uint16(elf.EM_X86_64), Version: 1, Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x1000},
		elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: flags, Align: 16},
		code,
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}
