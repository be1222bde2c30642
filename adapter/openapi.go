package adapter

import _ "embed" // the description

//go:embed openapi.json
var openAPI string

// OpenAPI describes the REST calls that an [Adapter] answers, as an OpenAPI 3.1 document in JSON.
// It is made from the methods' data, at generate time: see TestOpenAPIIsGenerated.
func OpenAPI() string { return openAPI }
