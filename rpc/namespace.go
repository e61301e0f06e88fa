package rpc

import (
	"context"
	"unicode/utf8"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

func (s *service) namespaceMethods() []transport.Method {
	return []transport.Method{
		write(s, "Namespace.Apply", s.namespaceApply),
		read(s, "Namespace.List", s.namespaceList),
		read(s, "Namespace.Get", s.namespaceGet),
	}
}

func (s *service) namespaceApply(ctx context.Context, c call, req *structs.NamespaceRequest, rep *structs.NamespaceReply) error {
	info := structs.NamespaceInfo{Name: req.Namespace.Name, Description: req.Namespace.Description, Meta: req.Namespace.Meta,
		BytesMax: req.Namespace.BytesMax, DatabasesMax: req.Namespace.DatabasesMax}
	if info.Name == "" {
		return structs.Errorf(structs.KindInvalid, "missing namespace name")
	}
	if _, err := resolve(info.Name); err != nil {
		return err
	}
	if !c.may.NamespaceWrite(info.Name) {
		return denied("namespace:write", string(info.Name))
	}
	switch req.Op {
	case structs.NamespaceUpsert, structs.NamespaceCreate:
		if len(info.Description) > descriptionBytesMax {
			return structs.Errorf(structs.KindTooLarge, "the description is %d bytes long; the limit is %d bytes", len(info.Description), descriptionBytesMax)
		}
		if info.BytesMax < 0 || info.DatabasesMax < 0 {
			return structs.Errorf(structs.KindInvalid, "a quota cannot be negative").WithHint("0 is no quota")
		}
		if !utf8.ValidString(info.Description) {
			return structs.Errorf(structs.KindInvalid, "the description is not UTF-8")
		}
		if err := checkMeta(info.Meta); err != nil {
			return err
		}
	case structs.NamespaceDelete:
		if info.Name == structs.DefaultNamespace {
			return structs.Errorf(structs.KindInvalid, "the namespace %q cannot be deleted", info.Name)
		}
		info = structs.NamespaceInfo{Name: info.Name}
	default:
		return structs.Errorf(structs.KindInvalid, "unknown namespace operation %q", clip(string(req.Op)))
	}
	r, index, err := propose[structs.NamespaceReply](ctx, s, structs.CommandNamespace, &structs.NamespaceRequest{
		WriteOptions: logged(c), Op: req.Op, Namespace: info,
	})
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

func (s *service) namespaceList(ctx context.Context, c call, req *structs.NamespaceListRequest, rep *structs.NamespaceListReply) error {
	after, err := decodeToken(req.NextToken, "")
	if err != nil {
		return err
	}
	name := func(n *structs.NamespaceInfo) string { return string(n.Name) }
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, all := s.b.State().NamespaceList(ws)
		idx, rep.Namespaces, rep.NextToken = pager[*structs.NamespaceInfo]{
			fetch: fetchSlice(idx, all, name), key: name,
			see: func(n *structs.NamespaceInfo) bool { return c.may.NamespaceRead(n.Name) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rep.Namespaces) > 0
	})
}

func (s *service) namespaceGet(ctx context.Context, c call, req *structs.NamespaceListRequest, rep *structs.NamespaceListReply) error {
	if req.Name == "" {
		return structs.Errorf(structs.KindInvalid, "missing namespace name")
	}
	if _, err := resolve(req.Name); err != nil {
		return err
	}
	if !c.may.NamespaceRead(req.Name) {
		return denied("namespace:read", string(req.Name))
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		rep.Namespaces = nil
		idx, have := s.b.State().NamespaceGet(ws, req.Name)
		if have != nil {
			rep.Namespaces = []*structs.NamespaceInfo{have}
		}
		return idx, have != nil
	})
}
