//go:build ignore

// Makes the databases of edge-node-manager that the tests import, with storm, as edge-node-manager wrote them:
// three.bolt (3 devices, saved and then changed) and fleet.bolt (120 devices: branch and overflow pages).
// In an empty folder:
//
//	go mod init example.org/make && go get github.com/asdine/storm@v2.0.2+incompatible github.com/coreos/bbolt@v1.3.0
//	cp …/make_bolt.go . && go run make_bolt.go FOLDER (storm v1 with github.com/boltdb/bolt writes the same)
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/asdine/storm"
	"github.com/coreos/bbolt"
)

type Device struct {
	ApplicationUUID   int                    `storm:"index"`
	BoardType         string                 `storm:"index"`
	Name              string                 `storm:"index"`
	LocalUUID         string                 `storm:"index"`
	ResinUUID         string                 `storm:"id,unique,index"`
	Commit            string                 `storm:"index"`
	TargetCommit      string                 `storm:"index"`
	Status            string                 `storm:"index"`
	Config            map[string]interface{} `storm:"index"`
	TargetConfig      map[string]interface{} `storm:"index"`
	Environment       map[string]interface{} `storm:"index"`
	TargetEnvironment map[string]interface{} `storm:"index"`
	RestartFlag       bool                   `storm:"index"`
	DeleteFlag        bool                   `storm:"index"`
}

type values = map[string]interface{}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func three(path string) {
	db, err := storm.Open(path)
	must(err)
	defer db.Close()
	sunset := Device{
		ApplicationUUID: 511898, BoardType: "esp8266", Name: "holy-sunset", LocalUUID: "1265892",
		ResinUUID: "64a1ae375b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df1",
		Commit:    "16b5cd4df8085d2872a6f6fc0c378629a185d78b", TargetCommit: "16b5cd4df8085d2872a6f6fc0c378629a185d78b",
		Status: "Idle", TargetConfig: values{"RESIN_HOST_TYPE": "esp8266", "RESIN_SUPERVISOR_DELTA": "1"},
		TargetEnvironment: values{},
	}
	cloud := Device{
		ApplicationUUID: 511898, BoardType: "esp8266", Name: "späte-wolke", LocalUUID: "99120",
		ResinUUID:    "8a0b3f6c2d1e4f5a9b8c7d6e5f40312233445566778899aabbccddeeff0011",
		TargetCommit: "16b5cd4df8085d2872a6f6fc0c378629a185d78b", Status: "Downloading",
		Config:       values{"RESIN_HOST_TYPE": "esp8266", "LIMIT": 5, "ON": true, "NONE": nil},
		TargetConfig: values{"RESIN_HOST_TYPE": "esp8266"}, TargetEnvironment: values{"GREETING": "grüße"},
		RestartFlag: true,
	}
	stone := Device{
		ApplicationUUID: 511899, BoardType: "microbit", Name: "old-stone", LocalUUID: "C0:FF:EE:00:11:22",
		ResinUUID: "f00dfeed5b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df3",
		Commit:    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Status: "Offline", DeleteFlag: true,
	}
	for _, device := range []*Device{&sunset, &cloud, &stone} {
		must(db.Save(device))
	}
	for _, status := range []string{"Offline", "Idle"} {
		sunset.Status = status
		must(db.Update(&sunset))
	}
}

func fleet(path string, count int) {
	whole := path + ".whole"
	db, err := storm.Open(whole)
	must(err)
	must(db.Bolt.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("Device"))
		if err != nil {
			return err
		}
		for number := 0; number < count; number++ {
			device := Device{
				ApplicationUUID: 7, BoardType: "esp8266", Name: fmt.Sprintf("board-%d", number),
				LocalUUID: fmt.Sprint(1000 + number), ResinUUID: fmt.Sprintf("%062x", number), Commit: "c0ffee",
				TargetConfig: values{"RESIN_HOST_TYPE": "esp8266"},
			}
			if number%40 == 7 {
				device.Environment = values{"LONG": strings.Repeat("x", 9000)}
			}
			record, err := db.Codec().Marshal(&device)
			if err != nil {
				return err
			}
			if err := bucket.Put([]byte(device.ResinUUID), record); err != nil {
				return err
			}
		}
		return nil
	}))
	must(db.Bolt.View(func(tx *bolt.Tx) error { return tx.CopyFile(path, 0o644) }))
	must(db.Close())
	must(os.Remove(whole))
}

func main() {
	three(filepath.Join(os.Args[1], "three.bolt"))
	fleet(filepath.Join(os.Args[1], "fleet.bolt"), 120)
}
