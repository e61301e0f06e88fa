package sqldriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// Name is the driver's name for sql.Open, after Register.
const Name = "debros"

// Options say which database, and how fresh its reads outside transactions must be. The zero value is the
// default database of the client's namespace, with linearizable reads.
type Options struct {
	Database    string          // "" = the default database
	Consistency api.Consistency // of reads outside transactions
	Freshness   time.Duration   // see api.QueryOptions
	// FreshnessStrict is as in api.QueryOptions.
	FreshnessStrict bool
}

// OpenDB is the database as a *sql.DB. It dials nothing; Ping does. The client stays the caller's to close.
func OpenDB(client *api.Client, o Options) *sql.DB { return sql.OpenDB(NewConnector(client, o)) }

// Register makes sql.Open(Name, dsn) work. Other drivers do that when they are imported; here a program says
// so itself, in main, since what is imported for another reason should not change what sql.Open knows. Most
// programs need OpenDB only. It does nothing when it has been done, but not if two do it at the same time.
func Register() {
	if !slices.Contains(sql.Drivers(), Name) {
		sql.Register(Name, Driver{})
	}
}

// Driver is the driver.Driver behind Register.
type Driver struct{}

// Open implements driver.Driver, for those who call it past database/sql.
func (Driver) Open(dsn string) (driver.Conn, error) {
	c, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{db: c.db, read: c.read, own: c.own}, nil
}

// OpenConnector implements driver.DriverContext.
func (Driver) OpenConnector(dsn string) (driver.Connector, error) { return ParseDSN(dsn) }

// Connector is one database of one client, for sql.OpenDB.
type Connector struct {
	db   *api.SQL
	read api.QueryOptions
	own  *api.Client // that goes with the connector; nil when it is the caller's
}

// NewConnector is the database that o names.
func NewConnector(client *api.Client, o Options) *Connector {
	return &Connector{
		db:   client.SQL().Database(o.Database),
		read: api.QueryOptions{Consistency: o.Consistency, Freshness: o.Freshness, FreshnessStrict: o.FreshnessStrict},
	}
}

// ParseDSN is the database that a data source name names:
//
//	[address][?name=value&…]
//
// The address is one that api.Config takes, such as "127.0.0.1:5001", "https://db.example.com:5001" or
// "unix:///run/debros.sock". The names are ns (the namespace), db (the database), dc (the datacenter), token,
// token_file, consistency (linearizable, stale or leader), freshness (a duration, with stale) and freshness_strict
// (true, with freshness). What a name does not say is as api.DefaultConfig has it from the environment, certificates among it.
func ParseDSN(dsn string) (*Connector, error) {
	address, query, _ := strings.Cut(dsn, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, refusal("a name or value of the data source is not escaped as in a URL", "write & as %26 and % as %25")
	}
	cfg, o := api.DefaultConfig(), Options{}
	if address != "" {
		cfg.Address = address
	}
	for name, list := range values {
		if len(list) != 1 {
			return nil, refusal("the data source has %q twice", "", name)
		}
		if err := setting(&cfg, &o, name, list[0]); err != nil {
			return nil, err
		}
	}
	client, err := api.New(cfg)
	if err != nil {
		return nil, err
	}
	c := NewConnector(client, o)
	c.own = client
	return c, nil
}

// setting applies one name of a data source.
func setting(cfg *api.Config, o *Options, name, value string) error {
	switch name {
	case "ns":
		cfg.Namespace = value
	case "db":
		o.Database = value
	case "dc":
		cfg.Datacenter = value
	case "token":
		cfg.Token = value
	case "token_file":
		cfg.Token, cfg.TokenFile = "", value
	case "consistency":
		c, err := api.ParseConsistency(value)
		if err != nil {
			return refusal("the data source has consistency=%q", "it is linearizable, stale or leader", value)
		}
		o.Consistency = c
	case "freshness":
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return refusal("the data source has freshness=%q, which is no duration", "write 5s or 300ms", value)
		}
		o.Freshness = d
	case "freshness_strict":
		strict, err := strconv.ParseBool(value)
		if err != nil {
			return refusal("the data source has freshness_strict=%q", "it is true or false", value)
		}
		o.FreshnessStrict = strict
	default:
		return refusal("the data source has %q, which is not known", "known are ns, db, dc, token, token_file, consistency, freshness and freshness_strict", name)
	}
	return nil
}

// Connect implements driver.Connector. There is nothing to connect: requests share the client.
func (c *Connector) Connect(context.Context) (driver.Conn, error) {
	return &conn{db: c.db, read: c.read}, nil
}

// Driver implements driver.Connector.
func (c *Connector) Driver() driver.Driver { return Driver{} }

// Close implements io.Closer, for sql.DB.Close.
func (c *Connector) Close() error {
	if c.own != nil {
		c.own.Close()
	}
	return nil
}
