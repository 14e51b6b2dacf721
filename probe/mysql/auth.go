package mysql

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"

	"filippo.io/edwards25519"
)

// The ways to prove a password that the probe speaks.
const (
	pluginNative  = "mysql_native_password"
	pluginCaching = "caching_sha2_password"
	pluginSHA256  = "sha256_password"
	pluginEd25519 = "client_ed25519"
	pluginParsec  = "parsec"
	pluginClear   = "mysql_clear_password"
)

// proveNative answers mysql_native_password:
// SHA1(password) XOR SHA1(seed + SHA1(SHA1(password))).
func proveNative(password string, seed []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	salted := sha1.Sum(append(append([]byte{}, seed...), twice[:]...))
	return xor(once[:], salted[:])
}

// proveCaching answers caching_sha2_password:
// SHA256(password) XOR SHA256(SHA256(SHA256(password)) + seed).
func proveCaching(password string, seed []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha256.Sum256([]byte(password))
	twice := sha256.Sum256(once[:])
	salted := sha256.Sum256(append(twice[:], seed...))
	return xor(once[:], salted[:])
}

// proveEd25519 signs the server's nonce with a key made of the password. It is
// Ed25519 but for the key: MariaDB hashes the password itself, where RFC 8032
// has a seed of 32 bytes.
func proveEd25519(password string, nonce []byte) ([]byte, error) {
	h := sha512.Sum512([]byte(password))
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		return nil, err
	}
	public := new(edwards25519.Point).ScalarBaseMult(s).Bytes()
	r, err := hashScalar(h[32:], nonce)
	if err != nil {
		return nil, err
	}
	commit := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k, err := hashScalar(commit, public, nonce)
	if err != nil {
		return nil, err
	}
	return append(commit, edwards25519.NewScalar().MultiplyAdd(k, s, r).Bytes()...), nil
}

func hashScalar(parts ...[]byte) (*edwards25519.Scalar, error) {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
}

// Parsec, which MariaDB has since 11.6: the server's salt, behind a letter for
// the derivation (PBKDF2) and a power for its iterations.
const (
	parsecPBKDF2   = 'P'
	parsecSalt     = 18
	parsecMaxPower = 3 // 8,192 iterations; more would only cost time
)

// proveParsec signs both sides' nonces with a key derived from the password.
func proveParsec(password string, nonce, salt []byte) ([]byte, error) {
	if len(salt) != 2+parsecSalt || salt[0] != parsecPBKDF2 || salt[1] > parsecMaxPower {
		return nil, garbled("a salt of an unknown form")
	}
	key, err := pbkdf2.Key(sha512.New, password, salt[2:], 1024<<salt[1], ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	own := make([]byte, 32)
	_, _ = rand.Read(own) // never fails
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(key), append(append([]byte{}, nonce...), own...))
	return append(own, signature...), nil
}

// maxKeyBytes bounds the server's RSA key: a larger one would only cost time.
const maxKeyBytes = 1024

// parsePublicKey reads the RSA key, in PEM, that a server sends for a password
// to be encrypted with.
func parsePublicKey(p []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(p)
	if block == nil {
		return nil, garbled("a public key that is not in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, garbled("a broken public key")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.Size() > maxKeyBytes {
		return nil, garbled("a public key that is not RSA of a usual size")
	}
	return public, nil
}

// encryptPassword hides the password, XORed with the seed, by the server's key.
func encryptPassword(password string, seed []byte, key *rsa.PublicKey) ([]byte, error) {
	plain := append([]byte(password), 0)
	for i := range plain {
		plain[i] ^= seed[i%len(seed)]
	}
	b, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plain, nil)
	if err != nil {
		return nil, garbled("a public key that cannot be used: %v", err)
	}
	return b, nil
}

func xor(a, b []byte) []byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}
