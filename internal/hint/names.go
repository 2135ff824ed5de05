package hint

// Commands of ipe.
const (
	FileEnable     = "ipe fsverity enable"
	FileSign       = "ipe fsverity sign"
	Permissive     = "ipe mode permissive"
	PolicyActivate = "ipe policy activate"
	PolicyList     = "ipe policy list"
	PolicyLoad     = "ipe policy load"
	PolicySign     = "ipe policy sign"
	PolicyUpdate   = "ipe policy update"
	ProfileLoad    = "ipe profile load"
	Status         = "ipe status"
)

// Options of ipe.
const (
	BlockSize     = "--block-size"
	Cert          = "--cert"
	FileHash      = "--hash-alg"
	FileSignature = "--signature"
	Force         = "--force"
	Key           = "--key"
	Salt          = "--salt"
	SignatureHash = "--hash"
)

// Options of iped.
const (
	Engine           = "--engine"
	Profile          = "--profile"
	Trust            = "--trust"
	EngineBPF        = Engine + " bpf"
	EngineSecurityfs = Engine + " securityfs"
	ProfileStrict    = Profile + " strict"
	TrustKernel      = Trust + " kernel"
)
