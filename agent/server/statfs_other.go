//go:build !linux && !darwin

package server

import "errors"

// statfs knows no other system: there is no watermark there, and the log says so.
func statfs(string) (room, error) { return room{}, errors.ErrUnsupported }
