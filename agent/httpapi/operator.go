package httpapi

import (
	"encoding/base64"

	"github.com/debros/debros/structs"
)

func operatorRoutes() []route {
	const p = "/v1/operator/"
	rows := []route{
		{
			method: "GET", pattern: p + "raft/configuration", handle: raftConfiguration, errors: textErrors,
			doc: "List the servers in the Raft configuration.", reply: "`{\"Servers\", \"Index\", \"ClusterID\", \"Refused\"}`; `Refused` are servers of other clusters that gossip shows",
		},
		{
			method: "DELETE", pattern: p + "raft/peer", handle: raftRemovePeer, errors: textErrors,
			doc: "Take a server out of the Raft configuration.", params: "one of `id=`, `address=`", reply: "nothing",
		},
		{
			method: "GET", pattern: p + "keyring", handle: keyring(structs.KeyringList), errors: textErrors,
			doc: "List the gossip keys that members have.", reply: "a list of one `{\"Keys\", \"PrimaryKeys\", \"NumNodes\", …}`",
		},
	}
	for _, m := range []string{"POST", "PUT"} { // Consul's client posts, its documentation puts
		rows = append(rows, route{
			method: m, pattern: p + "raft/transfer-leader", handle: raftTransferLeader, errors: textErrors,
			doc: "Hand leadership to another server.", params: "`id=`, else the leader chooses", reply: "`{\"Success\"}`",
		})
	}
	for _, k := range []struct {
		method string
		op     structs.KeyringOp
		doc    string
	}{
		{"POST", structs.KeyringInstall, "Give every member a further gossip key."},
		{"PUT", structs.KeyringUse, "Make an installed gossip key the one that encrypts."},
		{"DELETE", structs.KeyringRemove, "Take a gossip key from every member."},
	} {
		rows = append(rows, route{
			method: k.method, pattern: p + "keyring", handle: keyring(k.op), errors: textErrors,
			doc: k.doc, body: "`{\"Key\"}`, 32 bytes in base64", reply: "nothing",
		})
	}
	return append(rows, verifyRoutes()...)
}

func raftConfiguration(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.RaftConfigReply
	if err := c.rpc("Operator.RaftConfiguration", &structs.QueryRequest{QueryOptions: o}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if rep.Servers == nil {
		rep.Servers = []*structs.RaftServer{}
	}
	return c.ok(structs.RaftConfiguration{
		Servers: rep.Servers, Index: rep.ConfigIndex, ClusterID: rep.ClusterID, Refused: rep.Refused,
	})
}

func raftRemovePeer(c *call) error {
	id, address := c.params.Get("id"), c.params.Get("address")
	switch {
	case id == "" && address == "":
		return invalid("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case id != "" && address != "":
		return invalid("Must specify only one of ?id or ?address")
	}
	var rep structs.WriteReply
	req := structs.RaftPeerRequest{WriteOptions: c.write(), ID: structs.NodeID(id), Address: address}
	if err := c.rpc("Operator.RaftRemovePeer", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.done(nil)
}

func raftTransferLeader(c *call) error {
	var rep structs.WriteReply
	req := structs.RaftPeerRequest{WriteOptions: c.write(), ID: structs.NodeID(c.params.Get("id")), Address: c.params.Get("address")}
	if err := c.rpc("Operator.RaftTransferLeader", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(struct{ Success bool }{true})
}

// keyring is the handler of one keyring operation.
func keyring(op structs.KeyringOp) func(*call) error {
	return func(c *call) error {
		right := KeyringWrite
		if op == structs.KeyringList {
			right = KeyringRead
		}
		if err := c.agentMay(right); err != nil {
			return err
		}
		var in struct{ Key string }
		if op != structs.KeyringList {
			if err := c.decode(&in); err != nil {
				return err
			}
		}
		if raw, err := base64.StdEncoding.DecodeString(in.Key); op != structs.KeyringList && (err != nil || !aesKeyLength(len(raw))) {
			return invalid("Key is not 16, 24 or 32 bytes in base64").WithHint("debros keygen makes one")
		}
		rep, err := c.h.b.Keyring(c.r.Context(), op, in.Key)
		if err != nil {
			return err
		}
		if op != structs.KeyringList {
			return c.done(nil)
		}
		return c.ok([]*structs.KeyringResponse{rep})
	}
}

func aesKeyLength(n int) bool { return n == 16 || n == 24 || n == 32 }
