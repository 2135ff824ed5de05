package policy

// Code is the kind of a mistake: what programs that show or mend it tell it by. Codes
// stay; their messages may change.
type Code string

// The kinds of mistakes.
const (
	CodeNoHeader        Code = "no-header"        // the text has no statement
	CodeHeader          Code = "header"           // the first line is no header
	CodeVersion         Code = "version"          // the version is missing or malformed
	CodeSecondHeader    Code = "second-header"    // a header behind the first line
	CodeEncoding        Code = "encoding"         // the text is UTF-16, or begins with a mark
	CodeNUL             Code = "nul"              // a NUL byte ends the policy
	CodeStatement       Code = "statement"        // neither op= nor DEFAULT
	CodeOperation       Code = "operation"        // no such operation
	CodeNoOperation     Code = "no-operation"     // a rule without an operation
	CodeOperationPlace  Code = "operation-place"  // an operation that is not the first word
	CodeProperty        Code = "property"         // no such property
	CodeValue           Code = "value"            // neither TRUE nor FALSE
	CodeDigest          Code = "digest"           // no digest
	CodeBlank           Code = "blank"            // a blank before or behind =
	CodeSeparator       Code = "separator"        // ; or \ to separate or to continue
	CodeAction          Code = "action"           // no such action
	CodeNoAction        Code = "no-action"        // a line without an action at its end
	CodeActionPlace     Code = "action-place"     // an action that is not the last word
	CodeDefaultPlace    Code = "default-place"    // DEFAULT that is not the first word
	CodeDefaultProperty Code = "default-property" // a default with a property
	CodeSecondDefault   Code = "second-default"   // a default that there is already
	CodeNoDefault       Code = "no-default"       // operations without a default
	CodeWord            Code = "word"             // a word outside of a policy that is none
)
