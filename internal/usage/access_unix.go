//go:build unix

package usage

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// What [access] asks for.
const (
	toReadAndWrite = unix.R_OK | unix.W_OK // a file
	toMakeFiles    = unix.W_OK | unix.X_OK // in a folder
)

// access returns an error if the user may not do something with a file or a folder, or if its file
// system is read-only.
func access(path string, what uint32) error {
	if err := unix.Access(path, what); err != nil {
		return &fs.PathError{Op: "write to", Path: path, Err: err}
	}
	return nil
}
