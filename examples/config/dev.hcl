# One server with everything in memory, on loopback: for development.
#
#   debros agent -config-file=dev.hcl      (the same as: debros agent -dev)

dev = true

log_level = "debug"

ports {
  overlay = -1 # off
}
