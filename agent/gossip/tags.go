package gossip

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// The tags of a node. All of them together, encoded, fit memberlist's 512 bytes; anything else about
// a node travels by RPC.
const (
	tagMarker  = "debros" // version of this layout: a member without it is another program's
	tagID      = "id"
	tagRole    = "role"
	tagDC      = "dc"
	tagPorts   = "ports" // "h=5001,s=7001,o=4001"
	tagExpect  = "expect"
	tagBuild   = "build"
	tagProto   = "proto" // structs.ProtocolVersion
	tagFSM     = "fsm"   // structs.FSMVersion
	tagSQLite  = "sv"
	tagVersion = "1"
)

const (
	tagBytesMax   = memberlist.MetaMaxSize
	portsMax      = 16
	portNameMax   = 16
	buildBytesMax = 128
	versionMax    = 1 << 20
	expectMax     = 1 << 10
)

// portShort spells the usual ports in one letter; another name is written out.
var portShort = map[string]string{"http": "h", "server": "s", "overlay": "o"}
var portLong = map[string]string{"h": "http", "s": "server", "o": "overlay"}

// encodeTags makes the node's tags, or says which of them are too long.
func encodeTags(c *Config) (map[string]string, error) {
	tags := map[string]string{
		tagMarker: tagVersion,
		tagID:     string(c.ID),
		tagRole:   string(c.Role),
		tagDC:     c.Datacenter,
		tagBuild:  c.Build,
		tagProto:  strconv.Itoa(structs.ProtocolVersion),
		tagFSM:    strconv.Itoa(structs.FSMVersion),
		tagSQLite: c.SQLite,
	}
	if c.Expect > 0 {
		tags[tagExpect] = strconv.Itoa(c.Expect)
	}
	if ports := encodePorts(c.Ports); ports != "" {
		tags[tagPorts] = ports
	}
	size, err := tagsSize(tags)
	if err != nil {
		return nil, err
	}
	if size > tagBytesMax {
		return nil, tagsTooLong(tags, size)
	}
	// What others would not accept of us must fail here and not there.
	if _, err := parseMember(serf.Member{Name: c.Name, Tags: tags}); err != nil {
		return nil, structs.Errorf(structs.KindInvalid, "this node would not be accepted as a member: %v", err)
	}
	return tags, nil
}

// tagsSize is the size that serf's encoding of the tags has, its magic byte included.
func tagsSize(tags map[string]string) (int, error) {
	var buf bytes.Buffer
	if err := codec.NewEncoder(&buf, &codec.MsgpackHandle{}).Encode(tags); err != nil {
		return 0, fmt.Errorf("encode gossip tags: %w", err)
	}
	return buf.Len() + 1, nil
}

func tagsTooLong(tags map[string]string, size int) error {
	names := slices.SortedFunc(maps.Keys(tags), func(a, b string) int { return len(tags[b]) - len(tags[a]) })
	longest := make([]string, 0, 3)
	for _, n := range names[:3] {
		longest = append(longest, fmt.Sprintf("%s (%d bytes)", n, len(tags[n])))
	}
	return structs.Errorf(structs.KindInvalid, "the gossip tags of this node take %d of %d bytes; the longest are %s",
		size, tagBytesMax, strings.Join(longest, ", ")).WithHint("shorten the longest of them")
}

func encodePorts(ports map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		if ports[name] == 0 || name == "serf_lan" {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s=%d", or(portShort[name], name), ports[name]))
	}
	return strings.Join(parts, ",")
}

func parsePorts(s string) (map[string]int, error) {
	ports := map[string]int{}
	if s == "" {
		return ports, nil
	}
	parts := strings.Split(s, ",")
	if len(parts) > portsMax {
		return nil, fmt.Errorf("%d ports", len(parts))
	}
	for _, part := range parts {
		name, num, ok := strings.Cut(part, "=")
		if !ok || name == "" || len(name) > portNameMax || !nameRE.MatchString(name) {
			return nil, fmt.Errorf("port %q", part)
		}
		p, err := strconv.ParseUint(num, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("port %q", part)
		}
		ports[or(portLong[name], name)] = int(p)
	}
	return ports, nil
}

// isDebros tells debros nodes from members of other programs.
func isDebros(m serf.Member) bool { return m.Tags[tagMarker] != "" }

// parseMember reads what serf knows of a debros member. Its tags are foreign bytes: anything
// malformed is an error and makes the member an ignored one.
func parseMember(m serf.Member) (structs.Member, error) {
	out := structs.Member{
		ID: structs.NodeID(m.Tags[tagID]), Name: m.Name, Port: int(m.Port),
		Role: structs.Role(m.Tags[tagRole]), Datacenter: m.Tags[tagDC], Build: m.Tags[tagBuild],
		Status: statusOf(m.Status), Tags: maps.Clone(m.Tags),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
	if len(m.Addr) > 0 {
		out.Addr = m.Addr.String()
	}
	switch {
	case !nameRE.MatchString(m.Name):
		return out, fmt.Errorf("malformed name %.64q", m.Name)
	case !idRE.MatchString(string(out.ID)):
		return out, fmt.Errorf("malformed id %.64q", out.ID)
	case out.Role != structs.RoleServer && out.Role != structs.RoleClient:
		return out, fmt.Errorf("unknown role %.64q", out.Role)
	case !dcRE.MatchString(out.Datacenter):
		return out, fmt.Errorf("malformed datacenter %.64q", out.Datacenter)
	case len(out.Build) > buildBytesMax || strings.ContainsFunc(out.Build, notPrintable):
		return out, fmt.Errorf("malformed build %.64q", out.Build)
	}
	var err error
	if out.Ports, err = parsePorts(m.Tags[tagPorts]); err != nil {
		return out, fmt.Errorf("malformed ports: %w", err)
	}
	out.Ports["serf_lan"] = out.Port
	if out.Expect, err = parseNumber(m.Tags, tagExpect, expectMax); err != nil {
		return out, err
	}
	if out.Protocol, err = parseNumber(m.Tags, tagProto, versionMax); err != nil {
		return out, err
	}
	out.FSM, err = parseNumber(m.Tags, tagFSM, versionMax)
	return out, err
}

func notPrintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

func parseNumber(tags map[string]string, tag string, limit int) (int, error) {
	s := tags[tag]
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n > uint64(limit) {
		return 0, fmt.Errorf("malformed %s %.64q", tag, s)
	}
	return int(n), nil
}

func statusOf(s serf.MemberStatus) structs.MemberStatus {
	switch s {
	case serf.StatusLeaving:
		return structs.MemberLeaving
	case serf.StatusLeft:
		return structs.MemberLeft
	case serf.StatusFailed:
		return structs.MemberFailed
	default:
		return structs.MemberAlive
	}
}
