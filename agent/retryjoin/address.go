package retryjoin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

const (
	execPrefix   = "exec="
	execTimeout  = 10 * time.Second
	execOutMax   = 64 << 10        // of standard output
	execErrMax   = 512             // of standard error, shown in the log
	execGrace    = 2 * time.Second // for the output of a killed program's children
	hostBytesMax = 253
)

// address is one entry: a program, an IP, or a name to resolve.
type address struct {
	exec []string // program and arguments
	ip   netip.Addr
	host string // as written
	port uint16
}

// Check says what is wrong with a list of addresses, without resolving or running anything. The
// error is a *structs.Error of KindInvalid.
func Check(addrs []string) error {
	for _, a := range addrs {
		if _, err := parse(a, 1); err != nil {
			return structs.Errorf(structs.KindInvalid, "address to join %.300q: %v", a, err).
				WithHint("write an IP or a name, with or without :port, or exec=/path")
		}
	}
	return nil
}

func parse(text string, defaultPort int) (address, error) {
	text = strings.TrimSpace(text)
	if cmd, ok := strings.CutPrefix(text, execPrefix); ok {
		args := strings.Fields(cmd)
		if len(args) == 0 || !filepath.IsAbs(args[0]) {
			return address{}, errors.New("the program must be an absolute path")
		}
		return address{exec: args}, nil
	}
	host, port, err := splitPort(text, defaultPort)
	if err != nil {
		return address{}, err
	}
	a := address{host: host, port: port}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return address{}, errors.New("an address with a zone cannot be joined")
		}
		a.ip = ip.Unmap()
		return a, nil
	}
	if host == "" || len(host) > hostBytesMax || strings.Trim(host, "0123456789.") == "" || strings.ContainsFunc(host, notInName) {
		return address{}, errors.New("neither an IP address nor a name")
	}
	return a, nil
}

// notInName also keeps out '/', which memberlist would take for the end of a node name.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}

// splitPort knows "host", "host:port", "v6", "[v6]" and "[v6]:port".
func splitPort(text string, defaultPort int) (string, uint16, error) {
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		inner = strings.TrimSuffix(inner, "]")
		if ip, err := netip.ParseAddr(inner); err != nil || !ip.Is6() {
			return "", 0, errors.New("only an IPv6 address goes into brackets")
		}
		return inner, uint16(defaultPort), nil
	}
	if strings.HasPrefix(text, "[") || strings.Count(text, ":") == 1 {
		host, portText, err := net.SplitHostPort(text)
		if err != nil {
			return "", 0, errors.New("malformed host:port")
		}
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || port == 0 {
			return "", 0, fmt.Errorf("port %.20q is not between 1 and 65535", portText)
		}
		return host, uint16(port), nil
	}
	return text, uint16(defaultPort), nil // a name, an IPv4 address, or an IPv6 address without brackets
}

// runExec runs a program, without a shell, and reads the addresses that it prints, separated by
// white space or commas. Addresses that it printed well are returned beside an error about others.
func runExec(ctx context.Context, args []string, defaultPort int) ([]address, error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = execGrace
	out, errOut := &bounded{max: execOutMax}, &bounded{max: execErrMax}
	cmd.Stdout, cmd.Stderr = out, errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", args[0], err, bytes.TrimSpace(errOut.buf.Bytes()))
	}
	if out.over {
		return nil, fmt.Errorf("run %s: it printed more than %d bytes", args[0], execOutMax)
	}
	return parseList(out.buf.String(), args[0], defaultPort)
}

func parseList(text, program string, defaultPort int) ([]address, error) {
	var list []address
	var errs []error
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	for _, word := range words {
		a, err := parse(word, defaultPort)
		if err == nil && a.exec != nil {
			err = errors.New("a program cannot name another")
		}
		switch {
		case err != nil && len(errs) < 3: // three say enough
			errs = append(errs, fmt.Errorf("%s printed %.100q: %w", program, word, err))
		case err == nil && len(list) < addrsMax:
			list = append(list, a)
		}
	}
	if len(words) == 0 {
		errs = append(errs, fmt.Errorf("%s printed no address", program))
	}
	return list, errors.Join(errs...)
}

// bounded keeps the first max bytes and swallows the rest, so that the program is not blocked.
type bounded struct {
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.buf.Len()
	if len(p) > room {
		b.over = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}
