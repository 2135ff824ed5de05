// Package archtest holds the rules that keep the tree in its shape, as tests: who
// may import whom and why, which packages are pure, that packages are documented,
// how long files and functions may be, which functions parse foreign bytes and have a
// fuzz target, and what the module depends on.
//
// The rules are data. Import rules are the wings in imports_test.go: a package that is
// in none, or an import that its wing does not allow, is a failure. The dependencies are testdata/deps.txt, rewritten by
//
//	go test ./internal/lab/archtest -run TestDependencies -update
package archtest
