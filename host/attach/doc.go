// Package attach keeps the bytes of attachments: one file for each content, named by its digest,
// mode 0600, below the state directory.
//
// It owns what an attachment is called, what type it is said to have and how large it may be. A file
// is here before the row that names it, so that a crash between the two leaves a file without a row,
// which Sweep collects, and never a row without a file. It must never decide which agent or chat may
// have a file (rows say whose it is), and never believe what a sender says of one.
//
// Rationale. What a sender calls a file is a hint for the reader and nothing else: the name that an agent
// sees is made of letters, digits and few signs, and ends in a part of the digest, so that two files
// never have one name. The type comes from the bytes; where these could be anything the sender's word
// is passed on, but never that it is an image or a PDF, which is what models are shown.
package attach
