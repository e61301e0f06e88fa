package api

import (
	"context"
	"net/http"
	"net/url"
)

// Namespace is a tenant's space: keys, sessions and more of its own. Names are 1 to 63 of a-z, 0-9
// and '-', not beginning with '-'. The namespace "default" always exists.
type Namespace struct {
	Name        string
	Description string
	Meta        map[string]string `json:",omitempty"`
	// BytesMax bounds its keys, values and databases together, DatabasesMax how many databases it has; 0 = no limit. Over
	// one of them a write fails with KindQuota; what only deletes never does.
	BytesMax     int64 `json:",omitempty"`
	DatabasesMax int   `json:",omitempty"`
	CreateIndex  uint64
	ModifyIndex  uint64
}

// Namespaces makes and deletes namespaces.
type Namespaces struct{ c *Client }

// Create makes a namespace of the entry's Name, Description, Meta and quotas. One that exists gives ErrConflict.
func (n *Namespaces) Create(ctx context.Context, e *Namespace, o *WriteOptions) (*Namespace, *WriteMeta, error) {
	return n.set(ctx, "/v1/namespace", e, o)
}

// Update replaces the Description, Meta and quotas of a namespace, and makes it if it does not exist.
func (n *Namespaces) Update(ctx context.Context, e *Namespace, o *WriteOptions) (*Namespace, *WriteMeta, error) {
	return n.set(ctx, "/v1/namespace/"+url.PathEscape(e.Name), e, o)
}

func (n *Namespaces) set(ctx context.Context, path string, e *Namespace, o *WriteOptions) (*Namespace, *WriteMeta, error) {
	r := n.c.newRequest(http.MethodPut, path)
	body := struct {
		Name        string
		Description string            `json:",omitempty"`
		Meta        map[string]string `json:",omitempty"`

		BytesMax     int64 `json:",omitempty"`
		DatabasesMax int   `json:",omitempty"`
	}{e.Name, e.Description, e.Meta, e.BytesMax, e.DatabasesMax}
	if err := r.json(body); err != nil {
		return nil, nil, err
	}
	out := &Namespace{}
	m, err := n.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}

// Read reads one namespace; nil when it does not exist.
func (n *Namespaces) Read(ctx context.Context, name string, o *QueryOptions) (*Namespace, *QueryMeta, error) {
	out := &Namespace{}
	found, m, err := n.c.get(ctx, "/v1/namespace/"+url.PathEscape(name), o, out)
	if err != nil || !found {
		return nil, m, err
	}
	return out, m, nil
}

// List reads all namespaces.
func (n *Namespaces) List(ctx context.Context, o *QueryOptions) ([]*Namespace, *QueryMeta, error) {
	var out []*Namespace
	_, m, err := n.c.get(ctx, "/v1/namespaces", o, &out)
	return out, m, err
}

// Delete deletes a namespace and everything in it.
func (n *Namespaces) Delete(ctx context.Context, name string, o *WriteOptions) (*WriteMeta, error) {
	return n.c.put(ctx, n.c.newRequest(http.MethodDelete, "/v1/namespace/"+url.PathEscape(name)), o, nil)
}
