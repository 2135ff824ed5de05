//go:build linux

package scenarios

// scenarios is the list. The first ones are those before any policy is active.
func scenarios() []scenario {
	return []scenario{
		{"no policy", noPolicy},
		{"session", session},
		{"nodes", nodes},
		{"messages", messages},
		{"descriptors", descriptors},
		{"modes", modes},
		{"programs", programs},
		{"ranges", ranges},
		{"names", names},
		{"loads", loads},
		{"switches", switches},
	}
}
