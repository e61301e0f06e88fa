package config

// Reloaded is before with those keys of after that take effect on a reload; the other keys keep
// their values, so that what the agent shows is what it does.
func Reloaded(before, after *Config) *Config {
	next := *before
	for _, f := range keys().fields {
		if f.reload {
			f.value(&next).Set(f.value(after))
		}
	}
	return &next
}
