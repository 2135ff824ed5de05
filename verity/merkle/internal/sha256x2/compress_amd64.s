//go:build !purego

#include "textflag.h"

// SHA-256 of two messages at once, with the SHA extensions of x86.
//
// SHA256RNDS2 does two rounds and has a latency of four cycles or more, but a
// processor can begin one every two cycles or sooner. The rounds of one message
// depend on each other, so that with one message it waits half of the time; those
// of two messages do not. Hence each step below is done for message A and then
// for message B, and nothing of the one is needed for the other.
//
// Registers:
//
//	X0            W+K of the rounds at hand: SHA256RNDS2 takes it from nowhere else
//	X1, X2        state of A: words F E B A, and H G D C, from the lowest up
//	X3, X4        state of B
//	X5 to X8      the 16 words of A's schedule that are needed next, four each
//	X9 to X12     those of B
//	X13, X14      scratch
//	X15           byte order: turns around the bytes of each word
//	SI, DI        next block of A, of B
//	CX            blocks to come
//	AX            round constants

// LOAD reads four words of a message; they are big-endian.
#define LOAD(from, w) \
	MOVOU  from, w; \
	PSHUFB X15, w

// ROUNDS does the four rounds that begin with 4*n, on A with the schedule's words
// in a, and on B with those in b.
//
// An SHA256RNDS2 puts F E B A after two rounds where H G D C before them were, and
// the F E B A before them are the H G D C after them. So the registers swap their
// roles, and after the second pair of rounds they have swapped them back. The
// second pair takes the upper half of W+K, which PSHUFD moves down.
#define ROUNDS(n, a, b) \
	MOVOU       (16*(n))(AX), X13; \
	MOVO        X13, X14;        \
	PADDD       a, X13;          \
	PADDD       b, X14;          \
	MOVO        X13, X0;         \
	SHA256RNDS2 X0, X1, X2;      \
	MOVO        X14, X0;         \
	SHA256RNDS2 X0, X3, X4;      \
	PSHUFD      $0x0e, X13, X0;  \
	SHA256RNDS2 X0, X2, X1;      \
	PSHUFD      $0x0e, X14, X0;  \
	SHA256RNDS2 X0, X4, X3

// EXTEND replaces the oldest four words of a schedule, w0, by the next four:
//
//	W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]
//
// with w0 = W[t-16..t-13] to w3 = W[t-4..t-1]. SHA256MSG1 adds s0, PALIGNR cuts
// W[t-7..t-4] out of w2 and w3, and SHA256MSG2 adds s1, of which two are of words
// that it has only just made.
#define EXTEND(w0, w1, w2, w3, scratch) \
	MOVO       w3, scratch;     \
	PALIGNR    $4, w2, scratch; \
	SHA256MSG1 w1, w0;          \
	PADDD      scratch, w0;     \
	SHA256MSG2 w3, w0

// SIXTEEN does the 16 rounds that begin with 4*n, and makes the words for the 16
// after them: words are replaced as soon as their rounds are begun.
#define SIXTEEN(n) \
	ROUNDS(n, X5, X9);              \
	EXTEND(X5, X6, X7, X8, X13);    \
	EXTEND(X9, X10, X11, X12, X14); \
	ROUNDS((n)+1, X6, X10);           \
	EXTEND(X6, X7, X8, X5, X13);    \
	EXTEND(X10, X11, X12, X9, X14); \
	ROUNDS((n)+2, X7, X11);           \
	EXTEND(X7, X8, X5, X6, X13);    \
	EXTEND(X11, X12, X9, X10, X14); \
	ROUNDS((n)+3, X8, X12);           \
	EXTEND(X8, X5, X6, X7, X13);    \
	EXTEND(X12, X9, X10, X11, X14)

// func compress2(a, b *state, p, q *byte, blocks int)
//
// The frame keeps the states from before a block, which are added to those after it.
TEXT ·compress2(SB), NOSPLIT, $64-40
	MOVQ a+0(FP), R8
	MOVQ b+8(FP), R9
	MOVQ p+16(FP), SI
	MOVQ q+24(FP), DI
	MOVQ blocks+32(FP), CX
	TESTQ CX, CX
	JLE  done

	LEAQ  constants<>(SB), AX
	MOVOU turn<>(SB), X15
	MOVOU (R8), X1
	MOVOU 16(R8), X2
	MOVOU (R9), X3
	MOVOU 16(R9), X4

block:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X3, 32(SP)
	MOVOU X4, 48(SP)

	LOAD((SI), X5)
	LOAD((DI), X9)
	LOAD(16(SI), X6)
	LOAD(16(DI), X10)
	LOAD(32(SI), X7)
	LOAD(32(DI), X11)
	LOAD(48(SI), X8)
	LOAD(48(DI), X12)

	SIXTEEN(0)
	SIXTEEN(4)
	SIXTEEN(8)

	// The last 16 rounds: nothing comes after them.
	ROUNDS(12, X5, X9)
	ROUNDS(13, X6, X10)
	ROUNDS(14, X7, X11)
	ROUNDS(15, X8, X12)

	MOVOU 0(SP), X13
	MOVOU 32(SP), X14
	PADDD X13, X1
	PADDD X14, X3
	MOVOU 16(SP), X13
	MOVOU 48(SP), X14
	PADDD X13, X2
	PADDD X14, X4

	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  block

	MOVOU X1, (R8)
	MOVOU X2, 16(R8)
	MOVOU X3, (R9)
	MOVOU X4, 16(R9)

done:
	RET

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	MOVL DX, edx+20(FP)
	RET

// turn is for PSHUFB: in each word, the last byte first.
DATA turn<>+0(SB)/8, $0x0405060700010203
DATA turn<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL turn<>(SB), RODATA|NOPTR, $16

// constants are K of FIPS 180-4, 4.2.2, two words a line: the first is the lower half.
DATA constants<>+0x00(SB)/8, $0x71374491428a2f98
DATA constants<>+0x08(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+0x10(SB)/8, $0x59f111f13956c25b
DATA constants<>+0x18(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+0x20(SB)/8, $0x12835b01d807aa98
DATA constants<>+0x28(SB)/8, $0x550c7dc3243185be
DATA constants<>+0x30(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+0x38(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+0x40(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+0x48(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+0x50(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+0x58(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+0x60(SB)/8, $0xa831c66d983e5152
DATA constants<>+0x68(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+0x70(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+0x78(SB)/8, $0x1429296706ca6351
DATA constants<>+0x80(SB)/8, $0x2e1b213827b70a85
DATA constants<>+0x88(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+0x90(SB)/8, $0x766a0abb650a7354
DATA constants<>+0x98(SB)/8, $0x92722c8581c2c92e
DATA constants<>+0xa0(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+0xa8(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+0xb0(SB)/8, $0xd6990624d192e819
DATA constants<>+0xb8(SB)/8, $0x106aa070f40e3585
DATA constants<>+0xc0(SB)/8, $0x1e376c0819a4c116
DATA constants<>+0xc8(SB)/8, $0x34b0bcb52748774c
DATA constants<>+0xd0(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+0xd8(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+0xe0(SB)/8, $0x78a5636f748f82ee
DATA constants<>+0xe8(SB)/8, $0x8cc7020884c87814
DATA constants<>+0xf0(SB)/8, $0xa4506ceb90befffa
DATA constants<>+0xf8(SB)/8, $0xc67178f2bef9a3f7
GLOBL constants<>(SB), RODATA|NOPTR, $256
