package config

import "time"

// Ports that the agent listens on.
type Ports struct {
	HTTP    int `hcl:"http" flag:"http-port" default:"5001" doc:"HTTP API (TCP, on client_addr); HTTPS when tls.http has a certificate."`
	Server  int `hcl:"server" flag:"server-port" default:"7001" doc:"Raft and RPC of servers (TCP, on bind_addr)."`
	SerfLAN int `hcl:"serf_lan" flag:"serf-lan-port" default:"7946" doc:"Gossip within the datacenter (TCP and UDP, on bind_addr)."`
	Overlay int `hcl:"overlay" flag:"overlay-port" default:"4001" doc:"Peer-to-peer overlay (TCP and UDP, on bind_addr). With dev any free port, unless it is set."`
}

// Overlay is how the agent takes part among peers of other networks.
type Overlay struct {
	Enabled   bool     `hcl:"enabled" unset:"true with data_dir or dev" doc:"Take part in the overlay. Without data_dir a node is another peer after each start."`
	Network   string   `hcl:"network" default:"default" doc:"Name of the distributed table; the same on all agents of a cluster: lower-case letters, digits, '-' and '_', at most 63."`
	Listen    []string `hcl:"listen" unset:"TCP and QUIC on bind_addr and ports.overlay" doc:"Multiaddrs to listen on instead: /ip4/…/tcp/4001, /ip4/…/udp/4001/quic-v1, …/ws, …/quic-v1/webtransport. One that cannot be used fails the start."`
	Announce  []string `hcl:"announce" doc:"Multiaddrs that others are told instead of those found out, such as /dns4/…/tcp/4001 behind a forwarded port."`
	Bootstrap []string `hcl:"bootstrap" flag:"join-overlay" doc:"Members to begin with: multiaddrs that end in /p2p/<id>. Members of the LAN need none. No public peers are ever asked."`

	HTTP string `hcl:"http" unset:"all where bind_addr and listen are loopback, else members" doc:"Who may use the HTTP API on streams (/debros/http/1.0.0, as debros -via does): off, members of the cluster, or all, who then need no cluster key."`

	DHT          bool   `hcl:"dht" default:"true" doc:"Take part in the distributed table: servers hold it, clients ask it."`
	MDNS         bool   `hcl:"mdns" doc:"Find members on the LAN by multicast DNS."`
	Relay        bool   `hcl:"relay" unset:"true on servers" doc:"Relay for members that cannot be reached otherwise, without limits of time or size."`
	PortMapping  bool   `hcl:"port_mapping" doc:"Ask the router for a port by UPnP or NAT-PMP."`
	Reachability string `hcl:"reachability" default:"auto" doc:"What is known of the way to this node: auto, public or private."`

	DiscoveryInterval time.Duration `hcl:"discovery_interval" default:"10s" min:"100ms" doc:"Time between two rounds of looking for more members."`
	PeersTarget       int           `hcl:"peers_target" default:"16" min:"1" max:"1000" doc:"Members to be connected to, beside the servers of the LAN, which always are."`
	MaxConnections    int           `hcl:"max_connections" default:"1024" min:"16" max:"65536" doc:"Connections in all; strangers are let go before members."`
	MaxConnsPerIP     int           `hcl:"max_connections_per_ip" default:"256" min:"1" max:"65536" doc:"Connections of one IP address: as many agents and programs as stand behind one NAT."`

	RelayReservationsMax    int `hcl:"relay_reservations_max" default:"128" min:"1" max:"65536" doc:"Members that are reached through this relay at a time."`
	RelayCircuitsPerPeerMax int `hcl:"relay_circuits_per_peer_max" default:"64" min:"1" max:"65536" doc:"Relayed connections of one member."`
}

// TLS names certificates of the operator's own. The files are read again on reload.
type TLS struct {
	CAFile   string  `hcl:"ca_file" flag:"ca-file" doc:"PEM file of the authorities that sign every agent's certificate."`
	CertFile string  `hcl:"cert_file" flag:"cert-file" doc:"PEM file of this agent's certificate; its DNS name is <role>.<datacenter>.debros."`
	KeyFile  string  `hcl:"key_file" flag:"key-file" doc:"PEM file of the private key of cert_file."`
	HTTP     TLSHTTP `hcl:"http" doc:"HTTPS for the HTTP API."`
}

// TLSHTTP turns the HTTP API into HTTPS.
type TLSHTTP struct {
	CertFile string `hcl:"cert_file" doc:"PEM file of the certificate of the HTTP API. Set: ports.http speaks HTTPS only."`
	KeyFile  string `hcl:"key_file" doc:"PEM file of its private key."`
	CAFile   string `hcl:"ca_file" doc:"PEM file of authorities. Set: only clients with a certificate signed by one of them are served."`
}

// Limits on one request or one client. "Client" is an IP address. A value or a transaction travels in
// one log entry, which every server holds in memory a few times over: hence their highest limits.
type Limits struct {
	KVValueBytesMax             int           `hcl:"kv_value_bytes_max" default:"524288" min:"1" max:"16777216" reload:"true" doc:"Bytes of one value of the key-value store."`
	TxnOpsMax                   int           `hcl:"txn_ops_max" default:"128" min:"1" max:"65536" reload:"true" doc:"Operations of one transaction."`
	MessageBytesMax             int           `hcl:"message_bytes_max" default:"1048576" min:"1024" max:"8388608" doc:"Bytes of the topic, headers and data of one live message."`
	TxnBytesMax                 int           `hcl:"txn_bytes_max" default:"1048576" min:"1" max:"33554432" reload:"true" doc:"Bytes of the keys and values of one transaction together."`
	SQLBytesMax                 int           `hcl:"sql_bytes_max" default:"4194304" min:"1" max:"33554432" reload:"true" doc:"Bytes of the statements and arguments of one SQL request together."`
	SnapshotBytesMax            int64         `hcl:"snapshot_bytes_max" default:"17179869184" min:"1" doc:"Bytes of a snapshot archive to restore."`
	DiskFreeBytesMin            int64         `hcl:"disk_free_bytes_min" default:"-1" min:"-1" doc:"Bytes to keep free on the disk of data_dir. While no majority of the servers has them, writes are refused before the disks are full; what deletes is taken. -1 = 2 % of the disk, at most 1 GiB; 0 = no bound."`
	HTTPMaxConnsPerClient       int           `hcl:"http_max_conns_per_client" default:"4096" min:"1" doc:"HTTP connections of one client."`
	HTTPBlockedWatchesPerClient int           `hcl:"http_blocked_watches_per_client" default:"1024" min:"1" doc:"Blocking queries and log streams of one client at a time."`
	RPCRate                     float64       `hcl:"rpc_rate" min:"0" reload:"true" doc:"Requests a second that this agent sends to servers for others. 0 = no limit."`
	RPCBurst                    int           `hcl:"rpc_burst" default:"1000" min:"1" reload:"true" doc:"Requests at once beyond rpc_rate."`
	RPCMaxConnsPerClient        int           `hcl:"rpc_max_conns_per_client" default:"256" min:"1" doc:"Connections of one client to a server's port."`
	RPCHandshakeTimeout         time.Duration `hcl:"rpc_handshake_timeout" default:"5s" min:"100ms" doc:"Time for a new connection to a server's port to prove who it is."`
}

// HTTPConfig says under which names, and from which pages, browsers may call the HTTP API.
type HTTPConfig struct {
	Hosts        []string `hcl:"hosts" doc:"Names under which the HTTP API may be reached, beside IP addresses, localhost and node_name; others are refused, against DNS rebinding."`
	AllowOrigins []string `hcl:"allow_origins" doc:"Origins (https://host:port) whose pages may call the HTTP API."`
}

// Performance is timing.
type Performance struct {
	RaftMultiplier int           `hcl:"raft_multiplier" flag:"raft-multiplier" default:"1" min:"1" max:"10" doc:"Scales Raft's timeouts, 1 to 10: 1 notices a dead leader in about a second; more for slow networks."`
	LeaveDrainTime time.Duration `hcl:"leave_drain_time" default:"5s" min:"0s" reload:"true" doc:"How long a leaving server still answers."`
	RPCHoldTimeout time.Duration `hcl:"rpc_hold_timeout" default:"7s" min:"0s" doc:"How long a request waits for a leader before it fails."`
}

// RaftLogStore is where a server keeps its Raft log. Changing the backend of a server with data needs
// an empty data directory.
type RaftLogStore struct {
	Backend         string `hcl:"backend" flag:"raft-logstore" default:"wal" doc:"wal or boltdb. Change it only with an empty data directory."`
	DisableLogCache bool   `hcl:"disable_log_cache" doc:"Do not keep the last entries in memory."`
	WAL             WAL    `hcl:"wal" doc:"Backend wal."`
	BoltDB          BoltDB `hcl:"boltdb" doc:"Backend boltdb."`
}

// WAL is the backend wal.
type WAL struct {
	SegmentSizeMB int `hcl:"segment_size_mb" default:"64" min:"1" max:"1024" doc:"Size of a segment file in MiB, 1 to 1024."`
}

// BoltDB is the backend boltdb.
type BoltDB struct {
	NoFreelistSync bool `hcl:"no_freelist_sync" doc:"Do not write the list of free pages: faster, but a slower start."`
}

// Autopilot is a new cluster's autopilot configuration.
type Autopilot struct {
	CleanupDeadServers      bool          `hcl:"cleanup_dead_servers" default:"true" doc:"Remove failed servers once enough others are healthy."`
	LastContactThreshold    time.Duration `hcl:"last_contact_threshold" default:"200ms" min:"1ms" doc:"A server that was silent for longer is unhealthy."`
	MaxTrailingLogs         uint64        `hcl:"max_trailing_logs" default:"250" doc:"A server that lags by more entries is unhealthy."`
	MinQuorum               uint          `hcl:"min_quorum" max:"255" doc:"Never remove dead servers below this many. 0 = no such bound."`
	ServerStabilizationTime time.Duration `hcl:"server_stabilization_time" default:"10s" min:"0s" doc:"How long a new server must be healthy before it votes."`
}

// GossipLAN tunes gossip within the datacenter.
type GossipLAN struct {
	GossipNodes    int           `hcl:"gossip_nodes" default:"3" min:"1" max:"100" doc:"Members that get a message in each round."`
	GossipInterval time.Duration `hcl:"gossip_interval" default:"200ms" min:"1ms" doc:"Time between two rounds."`
	ProbeInterval  time.Duration `hcl:"probe_interval" default:"1s" min:"1ms" doc:"Time between two probes of other members."`
	ProbeTimeout   time.Duration `hcl:"probe_timeout" default:"500ms" min:"1ms" doc:"Time for a probe to be answered; below probe_interval."`
	SuspicionMult  int           `hcl:"suspicion_mult" default:"4" min:"1" max:"100" doc:"Scales how long a suspected member has to answer."`
	RetransmitMult int           `hcl:"retransmit_mult" default:"4" min:"1" max:"100" doc:"Scales how often a message is passed on."`
}

// Telemetry is metrics.
type Telemetry struct {
	PrefixFilter []string `hcl:"prefix_filter" reload:"true" doc:"Which metrics to keep: \"+debros.raft\" keeps what begins so, \"-debros.memberlist\" drops it; the longest match decides, and what matches nothing is kept."`
}
