package recall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// Symbols is [abi.Symbols] by a program that asks the kernel for the names alone:
// the list has 200,000 lines, which take the kernel longer to write than all else that a
// start does. The list is for what cannot be asked so; it tells why, too.
func Symbols(names ...string) ([]uint64, error) {
	addresses := make([]uint64, len(names))
	for i, name := range names {
		address, err := askSymbol(name)
		switch {
		case errors.Is(err, abi.ErrHidden):
			return nil, fmt.Errorf("look up symbols: %w", err)
		case err != nil:
			return abi.Symbols(names...)
		}
		addresses[i] = address
	}
	return addresses, nil
}

func askSymbol(name string) (address uint64, err error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "ipe_symbol", Type: ebpf.Syscall, Flags: unix.BPF_F_SLEEPABLE, License: "GPL", Instructions: symbolProgram(name),
	})
	if err != nil {
		return 0, fmt.Errorf("load program: %w", err)
	}
	defer p.Close()
	result, err := p.Run(&ebpf.RunOptions{Context: address, ContextOut: &address})
	if err != nil {
		return 0, err
	}
	switch errno := syscall.Errno(-int32(result)); errno {
	case 0:
		return address, nil
	case unix.EPERM:
		return 0, abi.ErrHidden
	default:
		return 0, errno
	}
}

// symbolProgram puts the address of a symbol into its context, and returns what the
// helper did.
func symbolProgram(name string) asm.Instructions {
	const address = -8 // on the stack; the name is below
	text := make([]byte, len(name)/8*8+8)
	copy(text, name)
	begin := address - len(text)
	is := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, address, asm.R1, asm.DWord),
	}
	for at := 0; at < len(text); at += 8 {
		is = append(is,
			asm.LoadImm(asm.R1, int64(binary.NativeEndian.Uint64(text[at:])), asm.DWord),
			asm.StoreMem(asm.RFP, int16(begin+at), asm.R1, asm.DWord))
	}
	return append(is,
		asm.Mov.Reg(asm.R1, asm.RFP),
		asm.Add.Imm(asm.R1, int32(begin)),
		asm.Mov.Imm(asm.R2, int32(len(name)+1)),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Reg(asm.R4, asm.RFP),
		asm.Add.Imm(asm.R4, address),
		asm.FnKallsymsLookupName.Call(),
		asm.LoadMem(asm.R1, asm.RFP, address, asm.DWord),
		asm.StoreMem(asm.R6, 0, asm.R1, asm.DWord),
		asm.Return())
}
