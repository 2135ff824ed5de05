package control

// AddSink has a sink take all entries from now on, after those that are kept in memory:
// a sink that cannot be opened yet must not delay what it would record.
func (c *Control) AddSink(s Sink) { c.events.add(s) }

func (r *recorder) add(s Sink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.kept.All() {
		s.Put(e)
	}
	r.sinks = append(r.sinks, s)
}
