# A client agent: it holds no state and forwards requests to the servers. Programs on its machine use
# its HTTP API on 127.0.0.1:5001.
#
# A line that begins with # and no space is a setting shown with another value than its default.

node_name = "c1"
data_dir  = "/var/lib/debros"

retry_join     = ["s1.example.internal", "s2.example.internal", "s3.example.internal"]
retry_interval = "30s"
#retry_max = 10

#cluster_key_file = "/etc/debros/cluster.key"

# A client leaves the cluster when it is stopped, so that nobody takes it for failed. A machine that
# only restarts may rather keep its membership:
#leave_on_terminate = false

telemetry {
  prefix_filter = ["-debros.memberlist"]
}
