package org.edgesdk.gallery;

/** Why a gallery was refused; docs/reference/gallery-format.md says when. The door stays shut on each of them. */
public final class GalleryException extends Exception {

    /** The four ways to refuse. */
    public enum Refusal {
        /** Not a gallery of a version this reader knows, cut short, or a field out of range. */
        FORMAT,
        /** Wrong key, or altered: one refusal for both. */
        SEAL,
        /** Authentic, but its templates were made by another model. */
        MODEL,
        /** Authentic, but older or much newer than the anchor says. */
        ROLLBACK
    }

    private static final long serialVersionUID = 1L;

    private final Refusal refusal;

    GalleryException(Refusal refusal, String message) {
        super(message);
        this.refusal = refusal;
    }

    static GalleryException format(String message) {
        return new GalleryException(Refusal.FORMAT, message);
    }

    static GalleryException seal() {
        return new GalleryException(Refusal.SEAL, "wrong key, or the gallery was altered");
    }

    /** Which of the four. */
    public Refusal refusal() {
        return refusal;
    }
}
