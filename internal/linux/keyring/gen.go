package keyring

// It needs clang-16, llvm-16 and libbpf-dev; building the project does not.
//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-16 -strip llvm-strip-16 -go-package keyring -target bpfel,bpfeb -type question -cflags "-O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../..=." verify ../../../bpf/verify.bpf.c
