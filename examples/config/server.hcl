# A server of a cluster of three. Start it on three machines with:
#
#   debros agent -config-file=server.hcl
#
# A line that begins with # and no space is a setting shown with another value than its default:
# remove the # to use it. Everything else: website/docs/reference/configuration.md.

node_name  = "s1"  # unique in the cluster; the host name when left out
datacenter = "dc1"
data_dir   = "/var/lib/debros"

server           = true
bootstrap_expect = 3 # the same on all three; 0 on servers that join later

# Where the other servers are. DNS names are resolved again at every attempt; "exec=/path" runs a
# program that prints addresses.
retry_join = ["s1.example.internal", "s2.example.internal", "10.0.0.3:7946"]

# The secret of the cluster, made once with "debros keygen" and the same on every agent. The file must
# be readable by the agent's user only.
#cluster_key_file = "/etc/debros/cluster.key"

# The address of the default route's interface when left out. Templates of go-sockaddr work too:
#bind_addr = "{{ GetInterfaceIP \"eth0\" }}"

# The HTTP API answers on loopback only, unless it is told otherwise:
#client_addr = "127.0.0.1 {{ GetInterfaceIP \"eth0\" }}"

ports {
  http     = 5001
  server   = 7001
  serf_lan = 7946
  overlay  = 4001
}

node_meta = {
  rack = "r12"
}

limits {
  kv_value_bytes_max = 512 * 1024
#  http_blocked_watches_per_client = 4096
}

performance {
  raft_multiplier = 1 # more for slow networks between the servers
}

raft_logstore {
  backend = "wal" # or "boltdb"
  wal {
    segment_size_mb = 64
  }
}

autopilot {
  cleanup_dead_servers      = true
  server_stabilization_time = "10s"
}

log_level = "info"
#log_json = true
#log_file = "/var/log/debros/debros.log"
