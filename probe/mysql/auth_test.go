package mysql

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"filippo.io/edwards25519"
)

var seed = []byte("seedseedseedseedseed")

// TestProofs holds the proofs against values computed by other means (Python's
// hashlib, by the formulas in the servers' documentation).
func TestProofs(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{pluginNative, proveNative("s3cret", seed), "0e594af0e9cd3be91f1ce9272cdacd7ae960df89"},
		{pluginCaching, proveCaching("s3cret", seed), "f347be27afb6599dc962830869c66e449d62fdc339dd5c7dfe4743a9383bc834"},
		{"no password, native", proveNative("", seed), ""},
		{"no password, caching", proveCaching("", seed), ""},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if string(seed) != "seedseedseedseedseed" {
		t.Error("the seed was changed")
	}
}

// TestEd25519: the proof is a signature that holds for the key which MariaDB
// derives from the password.
func TestEd25519(t *testing.T) {
	proof, err := proveEd25519("s3cret", seed)
	if err != nil {
		t.Fatal(err)
	}
	h := sha512.Sum512([]byte("s3cret"))
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	public := new(edwards25519.Point).ScalarBaseMult(s).Bytes()
	if !ed25519.Verify(public, seed, proof) {
		t.Error("the signature does not hold")
	}
	if ed25519.Verify(public, []byte("other"), proof) {
		t.Error("the signature holds for another nonce")
	}
}

func TestParsecRefuses(t *testing.T) {
	for name, salt := range map[string]string{
		"short": "P\x00salt", "empty": "", "long": "P\x00" + strings.Repeat("s", 19), "another derivation": "Q\x00" + strings.Repeat("s", 18),
		"more iterations than can be wanted": "P\x04" + strings.Repeat("s", 18),
	} {
		if _, err := proveParsec("s3cret", seed, []byte(salt)); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func publicPEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestEncryptPassword(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := parsePublicKey(publicPEM(t, key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("s3cret", 20)
	hidden, err := encryptPassword(long, seed, public)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), rand.Reader, key, hidden, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plain {
		plain[i] ^= seed[i%len(seed)]
	}
	if string(plain) != long+"\x00" {
		t.Errorf("%q", plain)
	}
	if _, err := encryptPassword(strings.Repeat("x", 1000), seed, public); err == nil {
		t.Error("a password longer than the key was encrypted")
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16<<10, 1), E: 3}
	for name, in := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("x"), "no key": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"another kind": publicPEM(t, curve.Public()), "too large": publicPEM(t, huge),
	} {
		if _, err := parsePublicKey(in); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

// FuzzPublicKey: whatever passes can be used, and quickly.
func FuzzPublicKey(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(publicPEM(f, key.Public()))
	f.Add(bytes.Repeat([]byte("-----BEGIN PUBLIC KEY-----\n"), 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		public, err := parsePublicKey(p)
		if err != nil {
			return
		}
		if _, err := encryptPassword("s3cret", seed, public); err == nil && public.Size() > maxKeyBytes {
			t.Errorf("a key of %d bytes", public.Size())
		}
	})
}
