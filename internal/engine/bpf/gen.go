package bpf

// These steps need clang-16, llvm-16 and libbpf-dev; building the project does not.
//go:generate go run ../../lab/genlayout ../../../bpf/layout.gen.h
//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-16 -strip llvm-strip-16 -go-package bpf -target bpfel,bpfeb -type share -type walk -type control -type tables -type rule_count -cflags "-O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../..=." ipe ../../../bpf/ipe.bpf.c
//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-16 -strip llvm-strip-16 -go-package recall -output-dir recall -target bpfel,bpfeb -type recall -cflags "-O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../..=." recall ../../../bpf/recall.bpf.c
//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-16 -strip llvm-strip-16 -go-package ftrace -output-dir ftrace -target bpfel,bpfeb -cflags "-O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../..=." ftrace ../../../bpf/ftrace.bpf.c
//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-16 -strip llvm-strip-16 -go-package recall -output-dir recall -target bpfel,bpfeb -type asked -cflags "-O2 -g -mcpu=v3 -Wall -Werror -fdebug-prefix-map=../../..=." survey ../../../bpf/survey.bpf.c
