package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/debros/debros/agent/httpapi"
)

// httpDrain is how long requests in progress may end by themselves when the agent stops.
const httpDrain = 2 * time.Second

// startHTTP serves the API on every listener.
func (a *Agent) startHTTP() error {
	cfg := a.Config()
	handler, err := httpapi.New(httpapi.Config{
		Logger: a.log.With("component", "http"), NodeName: cfg.NodeName,
		Hosts: append(slices.Clone(cfg.HTTPConfig.Hosts), string(a.node.ID())), Origins: cfg.HTTPConfig.AllowOrigins,
		Limits: a.httpLimits(),
	}, local{a})
	if err != nil {
		return err
	}
	a.handler = handler
	tlsConf, err := httpsConfig(cfg.TLS.HTTP.CertFile, cfg.TLS.HTTP.KeyFile, cfg.TLS.HTTP.CAFile)
	if err != nil {
		return err
	}
	for _, l := range a.listeners.http {
		srv := handler.Server(a.ctx)
		srv.TLSConfig = tlsConf
		a.web = append(a.web, srv)
		a.wg.Go(func() {
			serve := func() error { return srv.Serve(l) }
			if tlsConf != nil {
				serve = func() error { return srv.ServeTLS(l, "", "") }
			}
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				a.stopSoon(fmt.Errorf("serve http: %w", err))
			}
		})
	}
	a.log.Info("the HTTP API listens", "on", a.describeAddrs())
	return a.serveHTTPStreams(handler)
}

func (a *Agent) httpLimits() httpapi.Limits {
	l := a.Config().Limits
	return httpapi.Limits{
		ValueBytesMax: int64(l.KVValueBytesMax), TxnOpsMax: l.TxnOpsMax, TxnBytesMax: int64(l.TxnBytesMax),
		SQLBytesMax:      int64(l.SQLBytesMax),
		SnapshotBytesMax: l.SnapshotBytesMax,
		WatchesPerClient: l.HTTPBlockedWatchesPerClient, ConnsPerClient: l.HTTPMaxConnsPerClient,
	}
}

// httpsConfig is nil without a certificate. The certificate is read at every handshake, so a new one
// is in force at once.
func httpsConfig(certFile, keyFile, caFile string) (*tls.Config, error) {
	if certFile == "" {
		return nil, nil
	}
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.http certificate: %w", err)
		}
		return &cert, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: load}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read tls.http.ca_file: %w", err)
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.http.ca_file %s holds no certificate", caFile)
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	return conf, nil
}

// stopHTTP lets requests end for a moment and then cuts them off. Blocked queries have ended with a.ctx.
func (a *Agent) stopHTTP() {
	ctx, cancel := context.WithTimeout(context.Background(), httpDrain)
	defer cancel()
	for _, srv := range a.web {
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
		}
	}
}
