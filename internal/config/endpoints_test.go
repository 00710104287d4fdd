package config

import (
	"strings"
	"testing"
)

func TestEndpoints(t *testing.T) {
	for endpoint, allowed := range map[string]bool{
		"https://kinesis.eu-west-1.amazonaws.com":    true,
		"http://localhost:4566":                      true,
		"HTTP://LOCALHOST":                           true,
		"http://127.0.0.1:1":                         true,
		"http://127.8.9.1":                           true,
		"http://[::1]:4566":                          true,
		"http://[::ffff:127.0.0.1]:80":               true,
		"":                                           true, // is no endpoint
		"http://localhost.example.com":               false,
		"http://localhost@example.com/":              false,
		"http://example.com/localhost":               false,
		"http://169.254.169.254":                     false,
		"https://169.254.169.254":                    false,
		"https://[::ffff:169.254.169.254]/":          false,
		"https://[fe80::1]":                          false,
		"http://[fe80::1%25eth0]:80":                 false,
		"http://[::ffff:10.0.0.1]":                   false,
		"http://[64:ff9b::127.0.0.1]":                false,
		"http://10.0.0.1":                            false,
		"http://0.0.0.0:4566":                        false,
		"http://[::]:4566":                           false,
		"http://2130706433":                          false, // 127.0.0.1 to some, a name to others
		"http://0177.0.0.1":                          false,
		"http://minio:9000":                          false,
		"http://user:hush-hush@minio:9000/hush-hush": false,
		"localhost:4566":                             false,
		"//localhost":                                false,
		"ftp://localhost":                            false,
		"http://":                                    false,
		"http://hush-hush:x y":                       false,
	} {
		f := faults(t, nil, []string{"AWS_ENDPOINT_URL_S3=" + endpoint})
		if allowed != (f == nil) || len(f) > 1 {
			t.Errorf("%s: %v", endpoint, f)
		}
		if strings.Contains(f.Error(), "hush-hush") {
			t.Errorf("the fault shows a secret: %v", f)
		}
	}
	plain := []string{"AWS_ENDPOINT_URL=http://minio:9000"}
	if f := faults(t, nil, plain); len(f) != 1 || f[0].Key != "AWS_ENDPOINT_URL" {
		t.Errorf("%v", f)
	}
	load(t, []string{"--allow-insecure-endpoints"}, plain)
	load(t, nil, append(plain, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"))
}
