package httpapi

import "github.com/debros/debros/structs"

func verifyRoutes() []route {
	const p = "/v1/operator/verify"
	return []route{
		{
			method: "GET", pattern: p, handle: verifyReport,
			doc:    "Read what came of a comparison of what the servers hold.",
			params: "`at=` the index that PUT gave; without it the newest comparison",
			reply: "`{\"Index\", \"Outcome\", \"Time\", \"Servers\", \"Differences\"}`. `Outcome` is none (never compared), running, equal, different, undecided (they differ and no " +
				"majority says which are right) or incomplete (some could not be compared). A server's `Verdict` is waiting, right, different, damaged, undecided or not compared; `Quarantine` is why it " +
				"answers no reads. `Differences` name each part that is not the same on all, with its hash on each server",
		},
		{
			method: "PUT", pattern: p, handle: verify,
			doc:    "Have all servers compare what they hold, or have one take the leader's state.",
			params: "`reinstall=` the id of a server that takes the leader's state in the place of its own, whatever a comparison says; without it all are compared",
			reply:  "`{\"Index\"}`, the entry of the log at which they are compared; servers that are found wrong take another's state by themselves",
		},
	}
}

func verifyReport(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	at, _, err := c.uint("at")
	if err != nil {
		return err
	}
	o.Consistency = structs.Linearizable // only the leader knows
	var rep structs.VerifyReportReply
	if err := c.rpc("Operator.VerifyReport", &structs.VerifyReportRequest{QueryOptions: o, At: at}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if rep.Report.Servers == nil {
		rep.Report.Servers = []*structs.VerifyServer{}
	}
	return c.ok(rep.Report)
}

func verify(c *call) error {
	var rep structs.VerifyReply
	req := structs.VerifyRequest{WriteOptions: c.write(), Reinstall: structs.NodeID(c.params.Get("reinstall"))}
	if err := c.rpc("Operator.Verify", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(rep)
}
