package httpapi

import "slices"

// routes is every route of the API, group by group. website/docs/reference/http.md is made of it.
func routes() []route {
	var all []route
	for _, g := range groups() {
		all = append(all, g.routes...)
	}
	return slices.Clip(all)
}

// routeGroup is a heading of the reference.
type routeGroup struct {
	title  string
	routes []route
}

func groups() []routeGroup {
	return []routeGroup{
		{"Key-value store", kvRoutes()},
		{"Transactions", txnRoutes()},
		{"SQL", sqlRoutes()},
		{"SQL as rqlite speaks it", append(rqliteRoutes(), rqliteClusterRoutes()...)},
		{"Topics", append(publishRoutes(), liveRoutes()...)},
		{"Durable topics", streamRoutes()},
		{"User events", eventRoutes()},
		{"Sessions", sessionRoutes()},
		{"Agent", append(agentRoutes(), profileRoutes()...)},
		{"Catalog and coordinates", catalogRoutes()},
		{"Overlay", networkRoutes()},
		{"Status", append(statusRoutes(), healthRoutes()...)},
		{"Operator", operatorRoutes()},
		{"Autopilot", autopilotRoutes()},
		{"Snapshots", snapshotRoutes()},
		{"Namespaces", namespaceRoutes()},
	}
}
