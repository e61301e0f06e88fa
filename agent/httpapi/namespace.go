package httpapi

import "github.com/debros/debros/structs"

func namespaceRoutes() []route {
	const body = "`{\"Name\", \"Description\", \"Meta\", \"BytesMax\", \"DatabasesMax\"}`"
	return []route{
		{
			method: "GET", pattern: "/v1/namespaces", handle: namespaceList, errors: textErrors,
			doc: "List the namespaces.", params: "blocking and paging", reply: "a list of namespaces",
		},
		{
			method: "PUT", pattern: "/v1/namespace", handle: namespaceCreate, errors: textErrors,
			doc: "Create a namespace; 409 when it exists.", body: body, reply: "the namespace",
		},
		{
			method: "GET", pattern: "/v1/namespace/{name}", handle: namespaceGet, errors: textErrors,
			doc: "Read a namespace; 404 for an unknown one.", params: "blocking", reply: "the namespace",
		},
		{
			method: "PUT", pattern: "/v1/namespace/{name}", handle: namespaceUpdate, errors: textErrors,
			doc: "Create or change a namespace.", body: body, reply: "the namespace",
		},
		{
			method: "DELETE", pattern: "/v1/namespace/{name}", handle: namespaceDelete, errors: textErrors,
			doc: "Delete a namespace with everything in it.", reply: "the namespace",
		},
	}
}

type namespaceBody struct {
	Name        structs.Namespace
	Description string
	Meta        map[string]string

	BytesMax     int64
	DatabasesMax int
}

func namespaceList(c *call) error {
	rep, err := c.namespaces("Namespace.List", "")
	if err != nil {
		return err
	}
	return sendSlice(c, rep.Namespaces)
}

func namespaceGet(c *call) error {
	name, err := c.namespaceName("")
	if err != nil {
		return err
	}
	rep, err := c.namespaces("Namespace.Get", name)
	if err != nil {
		return err
	}
	if len(rep.Namespaces) == 0 {
		return c.notFound()
	}
	return c.ok(rep.Namespaces[0])
}

func (c *call) namespaces(method string, name structs.Namespace) (*structs.NamespaceListReply, error) {
	o, err := c.query()
	if err != nil {
		return nil, err
	}
	var rep structs.NamespaceListReply
	if err := c.rpc(method, &structs.NamespaceListRequest{QueryOptions: o, Name: name}, &rep); err != nil {
		return nil, err
	}
	c.meta(&rep.QueryMeta)
	return &rep, nil
}

// namespaceName is the {name} of the path or, where the pattern has none, the body's. The two agree.
func (c *call) namespaceName(inBody structs.Namespace) (structs.Namespace, error) {
	name := structs.Namespace(c.param)
	if name == "" {
		name = inBody
	}
	switch {
	case name == "":
		return "", invalid("Missing namespace name")
	case inBody != "" && inBody != name:
		return "", invalid("the body names namespace %q, the path %q", shorten(string(inBody)), shorten(string(name)))
	case !structs.ValidNamespace(name):
		return "", invalid("%q is not a namespace: names are 1 to 63 of a-z, 0-9 and -, not beginning with -", shorten(string(name)))
	}
	return name, nil
}

func namespaceCreate(c *call) error { return c.namespaceApply(structs.NamespaceCreate) }
func namespaceUpdate(c *call) error { return c.namespaceApply(structs.NamespaceUpsert) }
func namespaceDelete(c *call) error { return c.namespaceApply(structs.NamespaceDelete) }

func (c *call) namespaceApply(op structs.NamespaceOp) error {
	var in namespaceBody
	if op != structs.NamespaceDelete {
		if err := c.decode(&in); err != nil {
			return err
		}
	}
	name, err := c.namespaceName(in.Name)
	if err != nil {
		return err
	}
	req := structs.NamespaceRequest{WriteOptions: c.write(), Op: op, Namespace: structs.NamespaceInfo{
		Name: name, Description: in.Description, Meta: in.Meta, BytesMax: in.BytesMax, DatabasesMax: in.DatabasesMax,
	}}
	var rep structs.NamespaceReply
	if err := c.rpc("Namespace.Apply", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(rep.Namespace)
}
