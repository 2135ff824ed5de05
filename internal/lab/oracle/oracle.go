// Package oracle puts the cases of package conformance to a kernel that has IPE
// itself, in a test guest, so that the case table is what a kernel does and not
// what somebody read in its sources. It holds tests only.
package oracle
