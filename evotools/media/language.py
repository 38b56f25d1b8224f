"""Language codes of containers (ISO 639-2, three letters) as the tags that manifests want (BCP 47), and back."""

import re

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")

_PAIRS = (
    "aaraa abkab afraf akaak albsq amham araar argan armhy asmas avaav aveae aymay azeaz bakba bambm baqeu belbe "
    "benbn bihbh bisbi bodbo bosbs brebr bulbg burmy catca cescs chach chece chizh chucu chvcv corkw cosco crecr "
    "cymcy czecs danda deude divdv dutnl dzodz ellel engen epoeo estet euseu eweee faofo fasfa fijfj finfi frafr "
    "frefr fryfy fulff geoka gerde glagd glega glggl glvgv greel grngn gujgu hatht hauha hebhe herhz hinhi hmoho "
    "hrvhr hunhu hyehy iboig iceis idoio iiiii ikuiu ileie inaia indid ipkik islis itait javjv jpnja kalkl kankn "
    "kasks katka kaukr kazkk khmkm kikki kinrw kirky komkv konkg korko kuakj kurku laolo latla lavlv limli linln "
    "litlt ltzlb lublu luglg macmk mahmh malml maomi marmr mayms mkdmk mlgmg mltmt monmn mrimi msams myamy nauna "
    "navnv nblnr ndend ndong nepne nldnl nnonn nobnb norno nyany ocioc ojioj orior ormom ossos panpa perfa plipi "
    "polpl porpt pusps quequ rohrm ronro rumro runrn rusru sagsg sansa sinsi slksk slosk slvsl smese smosm snasn "
    "sndsd somso sotst spaes sqisq srdsc srpsr sswss sunsu swasw swesv tahty tamta tattt telte tgktg tgltl thath "
    "tibbo tirti tonto tsntn tsots tuktk turtr twitw uigug ukruk urdur uzbuz venve vievi volvo welcy wlnwa wolwo "
    "xhoxh yidyi yoryo zhaza zhozh zulzu "
)
_SHORT = {_PAIRS[at : at + 3]: _PAIRS[at + 3 : at + 5] for at in range(0, len(_PAIRS), 6)}
"""ISO 639-2 code, terminological and bibliographic, to ISO 639-1: the table of the registration authority."""
_BIBLIOGRAPHIC = frozenset((
    "alb", "arm", "baq", "bur", "chi", "cze", "dut", "fre", "geo", "ger", "gre", "ice", "mac", "mao", "may", "per",
    "rum", "slo", "tib", "wel",
))  # fmt: skip
_LONG = {short: long for long, short in _SHORT.items() if long not in _BIBLIOGRAPHIC}


def iso639(tag: str) -> str:
    """The three-letter code of a BCP 47 tag's language; empty for `und` and what is no tag."""
    if not _TAG.fullmatch(tag):
        return ""
    primary = tag.partition("-")[0].lower()
    code = _LONG.get(primary, primary)
    return code if len(code) == 3 and code != "und" else ""


def bcp47(language: str) -> str:
    """The shortest tag of a language (RFC 5646 2.2.1 asks for two letters where they exist); empty when there is none.

    `language` is what a track says: `eng`, `ger`, `en-US`. `und` and what is no tag at all come back empty.
    """
    if not _TAG.fullmatch(language):
        return ""
    primary, dash, rest = language.partition("-")
    primary = primary.lower()
    if primary == "und":
        return ""
    return _SHORT.get(primary, primary) + dash + rest
