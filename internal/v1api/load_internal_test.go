package v1api

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMalformedData(t *testing.T) {
	for _, each := range []struct{ line, want string }{
		{"admin\tGetX\tGET\t/admin/v1/x\t", "methods.tsv:2: 5 columns: use 6"},
		{"", "methods.tsv:2: 1 columns"},
		{"nope\tGetX\tGET\t/nope/v1/x\t\t", `no API "nope"`},
		{"\tGetX\tGET\t/x\t\t", `no API ""`},
		{"admin\t\tGET\t/admin/v1/x\t\t", `method ""`},
		{"admin\t(unknown)\tGET\t/admin/v1/x\t\t", `method "(unknown)"`},
		{"admin\tGetX\tGET\t/admin/v1/x\t\t\nadmin\tGetX\tGET\t/admin/v1/y\t\t", `methods.tsv:3: method "GetX"`},
		{"admin\tGetX\tGET\t/admin/v1/x\t\t\nadmin\tGetY\tGET\t/admin/v1/x\t\t", "GetY has the pattern of GetX"},
		{"admin\tGetX\tGET\t/admin/v1/x/{a}\t\t\nadmin\tGetY\tGET\t/admin/v1/x/{b}\t\t", "GetY has the pattern of GetX"},
		{"admin\tGetX\tFETCH\t/admin/v1/x\t\t", `verb "FETCH"`},
		{"admin\tGetX\t\t\t\t", `verb ""`},
		{"admin\tGetX\tGET\t/auth/v1/x\t\t", `path "/auth/v1/x"`},
		{"admin\tGetX\tGET\t\t\t", `path ""`},
		{"admin\tGetX\tGET\t/admin/v1/x:verb\t\t", `segment "x:verb"`},
		{"admin\tGetX\tGET\t/admin/v1//x\t\t", `segment ""`},
		{"admin\tGetX\tGET\t/admin/v1/{x=**}/y\t\t", `segment "{x=**}"`},
		{"admin\tGetX\tGET\t/admin/v1/{x=a/*}\t\t", `segment "{x=a"`},
		{"admin\tGetX\tGET\t/admin/v1/{}\t\t", `segment "{}"`},
		{"admin\tGetX\tGET\t/admin/v1/x}\t\t", `segment "x}"`},
		{"admin\tGetX\tGET\t/admin/v1/{x}=**}\t\t", `segment "{x}=**}"`},
		{"v2beta\tGetX\t\t\t\t", `method "GetX"`},
		{"v2beta\tx.v2.XService/GetX\t\t\t\t", `method "x.v2.XService/GetX" is not of API "v2beta"`},
		{"admin\tGetX\tGET\t/admin/v1/x\t\told", `mark "old"`},
	} {
		_, err := load(files("names\n" + each.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), each.want) {
			t.Errorf("%q: %v, not %s", each.line, err, each.want)
		}
	}
	if _, err := load(files("names\n")); err != nil {
		t.Error(err)
	}
	if _, err := load(fstest.MapFS{}); err == nil {
		t.Error("no error without files")
	}
}

func files(methods string) fs.FS {
	none := &fstest.MapFile{Data: []byte("names\n")}
	return fstest.MapFS{
		"methods.tsv": {Data: []byte(methods)}, "v2beta.tsv": none, "assets.tsv": none, "successors.tsv": none,
	}
}
