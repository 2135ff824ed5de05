package main

import (
	"encoding/binary"
	"errors"
)

// lz4Magic begins a stream of LZ4 in the format that the kernel's build writes ("legacy"
// in lz4(1), which few machines have).
const lz4Magic = "\x02\x21\x4c\x18"

var errLZ4 = errors.New("damaged LZ4 data")

// unlz4 decompresses a stream. Each block stands for itself.
func unlz4(stream []byte) ([]byte, error) {
	var out []byte
	for in := stream[len(lz4Magic):]; len(in) > 0; {
		if len(in) < 4 {
			return nil, errLZ4
		}
		n := int(binary.LittleEndian.Uint32(in))
		if in = in[4:]; n > len(in) {
			return nil, errLZ4
		}
		var err error
		if out, err = unlz4Block(out, in[:n]); err != nil {
			return nil, err
		}
		in = in[n:]
	}
	return out, nil
}

// unlz4Block appends what a block holds: sequences of bytes as they are, each but the last
// with a repetition of what came before.
func unlz4Block(out, in []byte) ([]byte, error) {
	const minMatch = 4
	for start := len(out); len(in) > 0; {
		token := in[0]
		literals, in2, ok := lz4Length(int(token>>4), in[1:])
		if !ok || literals > len(in2) {
			return nil, errLZ4
		}
		out, in = append(out, in2[:literals]...), in2[literals:]
		if len(in) == 0 {
			break
		}
		if len(in) < 2 {
			return nil, errLZ4
		}
		back := int(binary.LittleEndian.Uint16(in))
		n, rest, ok := lz4Length(int(token&0xf), in[2:])
		if !ok || back == 0 || back > len(out)-start {
			return nil, errLZ4
		}
		for range n + minMatch { // it may repeat what it appends
			out = append(out, out[len(out)-back])
		}
		in = rest
	}
	return out, nil
}

// lz4Length reads the rest of a length that does not fit into four bits.
func lz4Length(n int, in []byte) (length int, rest []byte, ok bool) {
	if n < 0xf {
		return n, in, true
	}
	for len(in) > 0 {
		more := in[0]
		n, in = n+int(more), in[1:]
		if more < 0xff {
			return n, in, true
		}
	}
	return 0, nil, false
}
