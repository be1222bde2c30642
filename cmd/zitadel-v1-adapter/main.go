// Command zitadel-v1-adapter lets clients of ZITADEL's deprecated Management API
// v1 go on unchanged while ZITADEL v2 does the work.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
