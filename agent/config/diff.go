package config

import (
	"maps"
	"reflect"
)

// Sanitized is the configuration as people see it: nested by block, durations as text, secrets set
// replaced by "hidden". It marshals to JSON.
func (c *Config) Sanitized() map[string]any {
	blocks := map[string]map[string]any{"": {}}
	for _, s := range keys().sections { // a block comes before the blocks in it
		prefix, name := cutLast(s.key)
		blocks[s.key] = map[string]any{}
		blocks[prefix][name] = blocks[s.key]
	}
	for _, f := range keys().fields {
		blocks[f.section][f.name] = f.plain(c)
	}
	return blocks[""]
}

// Diff names the keys whose values differ, in the order of the reference: those that a reload applies
// and those that need a restart.
func Diff(before, after *Config) (reloadable, needsRestart []string) {
	for _, f := range keys().fields {
		if equal(f.value(before), f.value(after)) {
			continue
		}
		if f.reload {
			reloadable = append(reloadable, f.key)
		} else {
			needsRestart = append(needsRestart, f.key)
		}
	}
	return reloadable, needsRestart
}

// equal takes nil and empty maps and lists as the same.
func equal(a, b reflect.Value) bool {
	switch x := a.Interface().(type) {
	case map[string]string:
		return maps.Equal(x, b.Interface().(map[string]string))
	case []string:
		return len(x) == 0 && b.Len() == 0 || reflect.DeepEqual(x, b.Interface())
	}
	return a.Interface() == b.Interface()
}
