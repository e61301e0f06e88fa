package structs

import "regexp"

var namespaceRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ValidNamespace reports whether n may name a namespace.
func ValidNamespace(n Namespace) bool { return namespaceRE.MatchString(string(n)) }

// NamespaceInfo is a row of the namespaces table.
type NamespaceInfo struct {
	Name        Namespace
	Description string
	Meta        map[string]string `codec:",omitempty" json:",omitempty"`
	// BytesMax is how much its keys, values and databases may be together, DatabasesMax how many databases it may have; 0 = no
	// limit. Only where every server has FSMVersionQuota.
	BytesMax     int64 `codec:",omitempty" json:",omitempty"`
	DatabasesMax int   `codec:",omitempty" json:",omitempty"`
	CreateIndex  uint64
	ModifyIndex  uint64
}

// NamespaceOp is what a NamespaceRequest does.
type NamespaceOp string

const (
	NamespaceUpsert NamespaceOp = "upsert"
	NamespaceCreate NamespaceOp = "create" // refused when it exists
	NamespaceDelete NamespaceOp = "delete" // with everything in it
)

// NamespaceRequest changes the namespaces table ("Namespace.Apply"; CommandNamespace). Reply: NamespaceReply.
type NamespaceRequest struct {
	WriteOptions
	Op        NamespaceOp
	Namespace NamespaceInfo
}

// ConflictKeys implements Conflicter: deleting a namespace writes everything in it.
func (r *NamespaceRequest) ConflictKeys() []string { return nil }

// NamespaceReply answers a NamespaceRequest.
type NamespaceReply struct {
	WriteMeta
	Namespace NamespaceInfo
}

// NamespaceListRequest lists ("Namespace.List") or, with Name, reads one ("Namespace.Get").
type NamespaceListRequest struct {
	QueryOptions
	Name Namespace
}

// NamespaceListReply is empty when the one asked for does not exist.
type NamespaceListReply struct {
	QueryMeta
	Namespaces []*NamespaceInfo
}
